"""The parts of `benchmarks/endpoint.py`: the endpoint, the contestants, and how they are measured."""
