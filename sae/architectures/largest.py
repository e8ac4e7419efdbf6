"""Which entries of a batch's pre-activations are active: the largest of each vector, or of the whole batch.

Pre-activations come as products, some vectors after the other, and the latents' biases, which are added here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sae.codes import compiled
from sae.codes.sparse import SparseCode
from sae.parallel import Peers

_STRIDE = 61
# One pre-activation in this many is looked at to bound the threshold from below; prime, so that a sample runs through
# all latents. A bad sample costs time, never exactness.


def largest_per_vector(blocks: Iterable[Tensor], bias: Float[Tensor, " latent"], k: int) -> SparseCode:
    """The k largest entries of each row of the blocks + bias, negative ones as 0."""
    return SparseCode.joined([_largest(block, bias, k) for block in blocks])


def _compiled(tensor: Tensor) -> bool:
    """Whether our own loops are for it: the processor's, since torch's are slow there."""
    return tensor.device.type == "cpu"


def _largest(product: Float[Tensor, "vector latent"], bias: Float[Tensor, " latent"], k: int) -> SparseCode:
    if _compiled(product):
        latents, values = compiled.largest_per_row(product, bias, k)
    else:
        values, latents = (product + bias).topk(k, dim=1, sorted=False)
    return SparseCode.of_rows(latents, values.relu_(), product.shape[1])


def largest_of_batch(
    blocks: Callable[[], Iterable[Tensor]],
    bias: Float[Tensor, " latent"],
    count: int,
    vectors: int,
    peers: Peers,
    guess: float = 0.0,
) -> SparseCode:
    """The `count` largest entries of blocks + bias that are above 0, and all that tie with the last of them.

    Exact, without sorting all entries: only those above a bound are ranked. `guess` is taken for the bound if at least
    `count` entries exceed it; else a sample of the first block gives one; and if that misleads, every entry above 0 is
    ranked. `count`, `vectors`, bounds and rank are those of all processes together; the entries are this one's.
    """
    each = count / vectors
    for bound in _bounds(blocks, bias, each / bias.shape[0], peers, guess):
        code = SparseCode.joined([_above(block, bias, bound, each) for block in blocks()])
        found = peers.gather(code.values)
        if found.shape[0] >= count or bound == 0.0:
            break
    if found.shape[0] <= count:
        return code
    return _from(code, _kth(found, count))


def _kth(values: Float[Tensor, " entry"], k: int) -> float:
    if _compiled(values):
        return compiled.kth_largest(values, k)
    return float(values.sort(descending=True).values[k - 1])  # on a GPU faster than kthvalue, which uses little of it


def _from(code: SparseCode, least: float) -> SparseCode:
    if _compiled(code.values):
        entries = compiled.entries_from(compiled.Entries(code.starts, code.latents, code.values), least)
        return SparseCode(*entries, code.width)
    return code.where(code.values >= least)


def _above(
    product: Float[Tensor, "vector latent"], bias: Float[Tensor, " latent"], bound: float, each: float
) -> SparseCode:
    if _compiled(product):
        return SparseCode(*compiled.entries_above(product, bias, bound, each), product.shape[1])
    pre = product + bias
    return SparseCode.of_positions(pre, (pre.reshape(-1) > bound).nonzero().squeeze(1))


def _bounds(
    blocks: Callable[[], Iterable[Tensor]], bias: Float[Tensor, " latent"], share: float, peers: Peers, guess: float
) -> Iterator[float]:
    """Bounds to try one after the other; the last is 0."""
    if guess > 0:
        yield guess
    first = next(iter(blocks()))
    places = torch.arange(0, first.numel(), _STRIDE, device=first.device)
    yield _lower_bound(peers.gather(first.reshape(-1)[places] + bias[places % first.shape[1]]), share)
    yield 0.0


def _lower_bound(sample: Float[Tensor, " entry"], share: float) -> float:
    """A value that somewhat more than `share` of all entries exceed, judged by a sample; never below 0."""
    expected = share * sample.shape[0]
    rank = math.ceil(expected + 4 * math.sqrt(expected)) + 1
    if rank > sample.shape[0]:
        return 0.0
    return max(_kth(sample, rank), 0.0)
