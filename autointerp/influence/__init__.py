"""Which training text made the model say this, or made this feature what it is?"""
