"""What an answer says: its JSON, and the probabilities at a token of it."""
