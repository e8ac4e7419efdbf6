"""Judges decide on whole held-out contexts: whether an explanation fits them, or which of them belong together."""
