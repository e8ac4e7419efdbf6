"""How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?"""

__version__ = "0.1.0"
