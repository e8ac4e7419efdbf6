"""The language model under study: names of hook points, and activations at them."""
