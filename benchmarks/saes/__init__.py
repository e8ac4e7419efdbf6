"""The parts of `sae_speed.py` and `sae_quality.py`: data, contestants, jobs, and what is made of their outcomes."""
