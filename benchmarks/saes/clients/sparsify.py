"""sparsify: its `Trainer.fit`, on a model whose hooked module gives out the vectors."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from common.stand_ins import stand_in
from torch import Tensor, nn

from saes.job import Job
from saes.serving import Learnt, serve
from saes.stream import Stream

stand_in("datasets")

from sparsify import SparseCoder, SparseCoderConfig, TrainConfig, Trainer  # noqa: E402

_HOOK = "vectors"
_AUXK = 1 / 32
"""Weight of its auxiliary loss where dead latents are to be revived (Gao et al. 2024); its own default is none."""


class _Model(nn.Module):
    """As much of a language model as its trainer touches: one module, whose output is the stream's next batch."""

    def __init__(self, stream: Stream, d_in: int) -> None:
        super().__init__()
        self.vectors = nn.Identity()
        self.device = torch.device("cpu")
        self.dummy_inputs: dict[str, Tensor | None] = {"input_ids": None}
        self._stream, self._d_in = stream, d_in

    @property
    def base_model(self) -> _Model:
        return self

    def forward(self, input_ids: Tensor | None) -> Tensor:
        x = torch.zeros(1, self._d_in) if input_ids is None else next(self._stream)
        output: Tensor = self.vectors(x.unsqueeze(0))
        return output


class _Tokens:
    """One sequence per step, as long as a batch has vectors; its tokens mean nothing."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __len__(self) -> int:
        return self._job.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return {"input_ids": torch.zeros(self._job.batch, dtype=torch.int64)}


def train(job: Job, stream: Stream) -> Learnt:
    model = _Model(stream, job.data.d_in)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(_config(job, folder), _Tokens(job), model).fit()
        # What it saves is what is used: with its default optimiser the weights in training are others.
        coder = SparseCoder.load_from_disk(Path(folder) / "run" / _HOOK)

    def encode(x: Tensor) -> Tensor:
        values, latents, _ = coder.encode(x)
        return torch.zeros(x.shape[0], job.width).scatter_(1, latents, values)

    return Learnt(encode, lambda activations: activations @ coder.W_dec + coder.b_dec, coder.W_dec.detach())


def _config(job: Job, folder: str) -> Any:
    revival: dict[str, Any] = {}
    if job.dead_share is not None:
        threshold = int(job.dead_share * job.planned * job.batch)
        revival = {"auxk_alpha": _AUXK, "dead_feature_threshold": threshold}
    return TrainConfig(
        SparseCoderConfig(num_latents=job.width, k=job.k),
        batch_size=1,
        optimizer=job.variant,
        lr=job.lr,
        lr_warmup_steps=job.planned // 20,
        exclude_tokens=[],
        hookpoints=[_HOOK],
        init_seeds=[job.seed],
        save_every=job.planned + 1,
        log_to_wandb=False,
        run_name="run",
        save_dir=folder,
        **revival,
    )


if __name__ == "__main__":
    serve(f"eai-sparsify {version('eai-sparsify')}", train)
