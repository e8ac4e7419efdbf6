"""Where training takes its vectors from: memory, disk, or a model that computes them meanwhile."""
