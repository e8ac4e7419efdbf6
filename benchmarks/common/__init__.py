"""What the benchmarks share: environments of the rivals, worker processes, the machine, tables."""
