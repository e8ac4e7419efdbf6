"""Language models in the process: find one, load it once, name its weights."""

from autointerp.models.load import LoadedModel, load_model

__all__ = ["LoadedModel", "load_model"]
