"""Which tokens, and which features, made a language model write what it wrote."""
