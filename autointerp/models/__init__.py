"""Language models in the process: find one, load it once, name its weights."""

from autointerp.models.load import LoadedModel, device_of, load_asked, load_model, load_tokenizer

__all__ = ["LoadedModel", "device_of", "load_asked", "load_model", "load_tokenizer"]
