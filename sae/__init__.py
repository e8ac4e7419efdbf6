"""Train and load sparse autoencoders; imports nothing of autointerp."""
