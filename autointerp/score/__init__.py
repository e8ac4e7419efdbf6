"""Score: how well predicted activations match the true ones on held-out contexts, per unit."""
