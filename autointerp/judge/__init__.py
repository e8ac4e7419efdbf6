"""Judges: a language model decides on whole held-out contexts whether an explanation fits them."""
