"""Planted truth: do simulators and judges measure something? Units whose meaning is known settle it."""
