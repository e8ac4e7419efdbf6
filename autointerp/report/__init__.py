"""Report: what a run found, in words, from its tables alone."""
