"""Where tensors are: a device by its name."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

from sae.errors import SaeError


def usable_device(name: str) -> torch.device:
    """The device that torch calls so; SaeError when there is none, or it can't be used."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SaeError(f"device '{name}' can't be used ({line})", "give cpu or cuda") from error
    return device


def moved(tensor: Shaped[Tensor, "*n"], device: torch.device) -> Shaped[Tensor, "*n"]:
    """The tensor there. A GPU takes it out of memory that is kept for that, and is not waited for."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def multiplies_in_bfloat16() -> bool:
    """Whether this machine's processor has products of bfloat16, which take about half the time of 32-bit ones."""
    found = torch.cpu.get_capabilities()
    return any(bool(found.get(name, False)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
