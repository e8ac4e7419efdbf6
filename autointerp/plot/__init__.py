"""Plot: every figure of a run, from its tables alone."""
