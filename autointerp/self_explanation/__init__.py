"""Is a chat model's own account of why it gave a label right about the model?"""
