"""Subject activations, streamed: one pass surveys every unit, later passes gather contexts of the sampled ones."""
