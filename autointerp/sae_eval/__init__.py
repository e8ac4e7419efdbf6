"""What an SAE is worth, beside a run: L0, variance explained, loss recovered, density."""
