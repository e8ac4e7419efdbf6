"""One file per contestant; each runs in its own process, the rivals' in environments of their own."""
