"""Blind rating of units by people: the page, and what becomes of its answers."""
