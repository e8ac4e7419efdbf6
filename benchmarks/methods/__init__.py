"""What explainers, simulators and judges cost, and whether ours and the field's agree."""
