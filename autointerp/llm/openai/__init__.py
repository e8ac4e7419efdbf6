"""Every API that speaks OpenAI's protocol: chats, log-probabilities, batches."""
