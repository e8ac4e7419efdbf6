"""Language models in the process: find one, load it once, name its weights."""

from autointerp.models.load import LoadedModel, load_model, load_tokenizer

__all__ = ["LoadedModel", "load_model", "load_tokenizer"]
