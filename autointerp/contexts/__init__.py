"""Which contexts who may see, and whose explanation a unit is tried on: read by every stage after collect."""
