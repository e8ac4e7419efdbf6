"""Pure numbers: scores of predictions, their calibration, and intervals over units."""
