"""The inference engine: a causal language model in this process."""
