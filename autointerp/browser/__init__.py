"""The feature browser: pages of units out of the tables of a run, and the server for what needs a model."""
