"""The same autoencoder in other words: layouts differ in what the encoder subtracts and where lengths are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.architectures.gated import GatedSae
from sae.base import Named, SparseAutoencoder


def with_centring(sae: SparseAutoencoder, subtract: bool) -> SparseAutoencoder:
    """The same activations with an encoder that reads `x - b_dec` (`subtract`) or `x`: its biases make up for it."""
    if sae.apply_b_dec_to_input == subtract:
        return sae
    # (x - b_dec) W + b = x W + (b - b_dec W). The product is in double precision: it is rounded once, not d_in times.
    constant = sae.b_dec.double() @ sae.W_enc.double() * (1 if subtract else -1)
    if isinstance(sae, GatedSae):
        # The magnitude path scales the encoder's product, and so its share of the constant too.
        changed = {
            "b_gate": sae.b_gate + constant,
            "b_mag": sae.b_mag + constant * sae.r_mag.double().exp(),
        }
    else:
        changed = {"b_enc": sae.tensors()["b_enc"] + constant}
    fields: dict[str, Any] = {name: bias.to(sae.b_dec.dtype) for name, bias in changed.items()}
    return replace(sae, **fields, apply_b_dec_to_input=subtract)


def form_of(sae: SparseAutoencoder) -> str:
    """Its architecture in words, with what few layouts can hold."""
    normalised = "" if sae.normalisation == "none" else f" on vectors that are normalised ({sae.normalisation})"
    return f"{sae.architecture}{' that transcodes' if sae.transcodes else ''}{normalised}"


def fold_input_factor(sae: SparseAutoencoder, factor: float) -> SparseAutoencoder:
    """An autoencoder for raw vectors, out of one for vectors that were multiplied by `factor`; activations stay."""
    changed: dict[str, Any] = {"W_enc": sae.W_enc * factor}
    if not sae.transcodes:
        changed |= {"W_dec": sae.W_dec / factor, "b_dec": sae.b_dec / factor}
    return replace(sae, **changed)


def fold_decoder_lengths(tensors: Mapping[str, Tensor]) -> Named:
    """Multiply activations by the length of their latent's decoder row, which becomes 1; reconstructions stay.

    Takes `W_enc` [d_in, latent], `b_enc` [latent] and `W_dec` [latent, d_in]; other tensors are passed on.
    """
    lengths = decoder_lengths(tensors["W_dec"])
    return {
        **tensors,
        "W_enc": tensors["W_enc"] * lengths,
        "b_enc": tensors["b_enc"] * lengths,
        "W_dec": tensors["W_dec"] / lengths.clamp_min(torch.finfo(lengths.dtype).tiny).unsqueeze(1),
    }


def has_unit_decoder(W_dec: Float[Tensor, "latent d_in"]) -> bool:
    """Whether every decoder row has length 1, to single precision."""
    lengths = decoder_lengths(W_dec)
    return torch.allclose(lengths, torch.ones_like(lengths))


def decoder_lengths(W_dec: Float[Tensor, "latent d_in"]) -> Float[Tensor, " latent"]:
    """Length of each latent's decoder row."""
    lengths: Tensor = torch.linalg.vector_norm(W_dec, dim=1)
    return lengths
