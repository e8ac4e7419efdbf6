"""One process each: scorers of the field, with their own prompts, parsers and scores."""
