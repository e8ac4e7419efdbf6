"""The tokenizer and the weights of a subject that the study trains itself, wired to the run's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from autointerp.artifacts import hash_file, hash_value, seed_of, write_json, write_text
from autointerp.corpus.ahead import read_ahead
from autointerp.corpus.stage import build_corpus, open_documents
from autointerp.errors import BadInput
from autointerp.models import device_of
from autointerp.models.quiet import quiet
from autointerp.progress import bar, say
from autointerp.records import Split
from autointerp.study import Study
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.making import (
    Making,
    bigram_loss,
    blank_model,
    complete,
    held_out_loss,
    learn_tokenizer,
    unigram_loss,
)
from autointerp.tables import TRAIN, read_arrow
from sae.atomic import atomic_folder
from sae.errors import SaeError

SUBJECT = "subject"
"""The trained subject, as `from_pretrained` opens it, with its losses; by path in the run folder."""
TOKENIZER = "work/tokenizer"
"""Its tokenizer alone, which is there before it."""
_CHECKPOINT = "work/subject.safetensors"
_SAVE_EVERY = 30.0
"""Seconds."""


def cut_for(study: Study, recipe: SubjectTraining, run: Path) -> None:
    """The corpus stage of a study that trains its subject: the tokenizer out of training text, then contexts by it."""
    seed = study.seed_for("corpus")
    ahead = read_ahead(open_documents(study.corpus, seed), study.corpus, seed)
    tokenizer = learn_tokenizer(ahead.texts, recipe.vocabulary)
    characters = sum(map(len, ahead.texts))
    say(f"  tokenizer: {len(tokenizer):,} tokens learned from {characters:,} characters of the training split")
    with _folder(run / TOKENIZER) as part:
        tokenizer.save_pretrained(part)
    build_corpus(study, tokenizer, run, ahead.splits)


def make_subject(study: Study, recipe: SubjectTraining, run: Path) -> None:
    """Train the subject on the training split and put it in `run/subject`, from where an interrupted call stopped."""
    with quiet():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(run / TOKENIZER)
    contexts = split_tokens(run / TRAIN, Split.TRAIN)
    seed = seed_of(study.seed, "subject")
    model: Any = blank_model(recipe, len(tokenizer), study.corpus.context, seed)
    making = Making(model.to(device_of(study.subject.device)), recipe, contexts, seed)
    made_of = hash_value([recipe.model_dump(mode="json"), seed, hash_file(run / TRAIN), hash_file(run / TOKENIZER)])
    if making.restore(run / _CHECKPOINT, made_of):
        say(f"  subject: going on after step {len(making.losses):,} of {making.steps:,}")
    left = (making.steps - len(making.losses)) * making.tokens_per_step
    with bar("train the subject", left, "tokens") as progress:

        def show(loss: float) -> None:
            progress.note(f"loss {loss:.3f}")
            progress.advance(making.tokens_per_step)

        complete(making, run / _CHECKPOINT, made_of, _SAVE_EVERY, show)
    _publish(making, tokenizer, contexts, split_tokens(run / "contexts.parquet", Split.HELD_OUT), run)
    (run / _CHECKPOINT).unlink(missing_ok=True)


def split_tokens(table: Path, split: Split) -> Int[np.ndarray, "_ context"]:
    """The token ids of a split's contexts, in the table's order."""
    column = read_arrow(table, ["tokens"], filters=[("split", "==", str(split))])["tokens"]
    chunks = [chunk.flatten().to_numpy().reshape(len(chunk), -1) for chunk in column.chunks if len(chunk)]
    return np.concatenate(chunks)


def _publish(
    making: Making,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Int[np.ndarray, "_ context"],
    held_out: Int[np.ndarray, "_ context"],
    run: Path,
) -> None:
    figures = {
        "steps": making.steps,
        "tokens": making.steps * making.tokens_per_step,
        "held_out_tokens": held_out.size,
        "held_out_loss": held_out_loss(making.model, held_out),
        "held_out_loss_of_unigrams": unigram_loss(contexts, held_out, len(tokenizer)),
        "held_out_loss_of_bigrams": bigram_loss(contexts, held_out, len(tokenizer)),
    }
    with _folder(run / SUBJECT) as part, quiet():
        making.model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        write_json(part / "training.json", figures)
        lines = (f"{step},{step * making.tokens_per_step},{loss:.6g}" for step, loss in enumerate(making.losses, 1))
        write_text(part / "losses.csv", "\n".join(("step,tokens,loss", *lines, "")))
    say(
        f"  subject: held-out loss {figures['held_out_loss']:.3f} nats per token (counts of tokens give "
        f"{figures['held_out_loss_of_unigrams']:.3f}, of pairs {figures['held_out_loss_of_bigrams']:.3f}) after "
        f"{figures['tokens']:,} tokens"
    )


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    try:
        with atomic_folder(folder) as part:
            yield part
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
