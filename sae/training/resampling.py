"""New weights for dead latents (Bricken et al. 2023, appendix, from memory; the source of every number here).

Each dead latent gets an input that the autoencoder describes badly: drawn with probability proportional to the square
of the loss, over the vectors of the last steps. Its decoder row becomes the input's direction, its encoder row the same
direction at 0.2 times the mean length of the live encoder rows, its bias 0, and Adam forgets what it knew of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.weights import Weights
from sae.parallel import Peers

_SHARE_OF_LIVE = 0.2


class Draw:
    """A weighted draw without replacement from a stream, in memory for the drawn alone.

    Of all vectors those with the largest log(u) / weight are kept, u uniform (Efraimidis and Spirakis 2006). Each
    process keeps those of its own share; u is that of the vector's place in the global batch, whoever has it.
    """

    def __init__(self, most: int, d_in: int, seed: int, device: torch.device, peers: Peers) -> None:
        self._most, self._peers = most, peers
        self._generator = torch.Generator().manual_seed(seed)
        self._keys = torch.empty(0, dtype=torch.float64, device=device)
        self._vectors = torch.empty(0, d_in, device=device)

    def add(self, centred: Float[Tensor, "vector d_in"], losses: Float[Tensor, " vector"]) -> None:
        """The next vectors, with the loss of each."""
        vectors = centred.shape[0] * self._peers.size
        uniform = self._peers.share(torch.rand(vectors, generator=self._generator, dtype=torch.float64))
        weights = losses.double().square().clamp_min(torch.finfo(torch.float64).tiny)
        keys = torch.cat([self._keys, uniform.to(weights.device).log() / weights])
        self._keys, kept = keys.topk(min(self._most, keys.shape[0]))
        self._vectors = torch.cat([self._vectors, centred])[kept]

    def take(self, count: int) -> Float[Tensor, "drawn d_in"]:
        """The `count` vectors drawn among those of all processes, or fewer if there were fewer."""
        found = self.state()
        return found["vectors"][found["keys"].topk(min(count, found["keys"].shape[0])).indices]

    def state(self) -> dict[str, Tensor]:
        """All of it, that of every process, for a checkpoint."""
        keys, vectors = self._peers.gather(self._keys), self._peers.gather_rows(self._vectors)
        return {"keys": keys, "vectors": vectors, "generator": self._generator.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        device = self._keys.device  # every process has kept as many as the others, so shares are what each had
        self._keys = self._peers.share(state["keys"]).to(device)
        self._vectors = self._peers.share(state["vectors"]).to(device)
        self._generator.set_state(state["generator"].cpu())


def resample(
    weights: Weights, adam: torch.optim.Adam, dead: Int[Tensor, " dead"], inputs: Float[Tensor, "drawn d_in"]
) -> None:
    """Give the first of the dead latents these centred inputs as their new weights, as many as there are inputs."""
    dead = dead[: inputs.shape[0]]
    if not dead.shape[0]:
        return
    alive = torch.ones(weights.width, dtype=torch.bool, device=dead.device)
    alive[dead] = False
    lengths = torch.linalg.vector_norm(weights.encoder[alive], dim=1)
    length = float(lengths.mean()) if lengths.shape[0] else 1.0
    tiny = torch.finfo(inputs.dtype).tiny
    direction = inputs / torch.linalg.vector_norm(inputs, dim=1, keepdim=True).clamp_min(tiny)
    weights.decoder[dead] = direction
    weights.encoder[dead] = _SHARE_OF_LIVE * length * direction
    weights.b_enc[dead] = 0.0
    for tensor in (weights.decoder, weights.encoder, weights.b_enc):
        for moment in ("exp_avg", "exp_avg_sq"):
            adam.state[tensor][moment][dead] = 0.0
