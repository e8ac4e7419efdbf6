"""Toy models of superposition (Elhage et al. 2022): features that are known, and SAEs held to them."""
