"""Simulators: predict a unit's activations from an explanation alone."""
