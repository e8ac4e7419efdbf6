"""Anthropic's API: messages, and batches of them."""
