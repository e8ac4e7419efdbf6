"""What `sae eval` is given becomes places: one hook of one subject, the contexts, and the SAEs to splice in there.

SAEs that come without a run are given tokens of a corpus, drawn as a run draws them, without splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from autointerp.contexts.reading import count_contexts, read_batches
from autointerp.corpus.contexts import CHARACTERS_PER_TOKEN, require_offsets, tokenised_batches, window_starts
from autointerp.corpus.document import text_hash
from autointerp.corpus.split import NearDuplicates
from autointerp.corpus.stage import open_documents, say_text
from autointerp.errors import BadInput
from autointerp.hook_names import short_name
from autointerp.llm.open import Mode
from autointerp.progress import say
from autointerp.records import Split
from autointerp.run.resources import Resources
from autointerp.study_file import RUN_STUDY, parse_study, study_of
from autointerp.study_inputs import TRAINED, Corpus
from autointerp.subject.forward import Subject, open_subject
from autointerp.train.quality import ReadTokens
from autointerp.train.saes import sae_folder
from sae.base import SparseAutoencoder
from sae.checkpoint import load, read_metadata


def evaluation_contexts(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, seed: int
) -> Int[np.ndarray, "context token"]:
    """Contexts of `corpus.tokens` tokens in all, at most `corpus.max_per_document` of one document, copies left out.

    Only the tokens are kept, so memory is 4 bytes per token. Raises BadInput when the corpus gives no context.
    """
    require_offsets(tokenizer)
    wanted = corpus.tokens // corpus.context
    if not wanted:
        raise BadInput(f"{corpus.tokens} tokens are less than a context of {corpus.context}", "raise --tokens")
    longest = CHARACTERS_PER_TOKEN * corpus.context * corpus.max_per_document
    seen, rows = NearDuplicates(corpus.near_duplicate, seed), list[np.ndarray]()
    say_text(corpus)
    batches = tokenised_batches(open_documents(corpus, seed), tokenizer, longest)
    while len(rows) < wanted and (batch := next(batches, None)):
        for document, found in batch:
            key = (seed, text_hash(document.text))
            starts = window_starts(len(found.tokens), corpus.context, corpus.max_per_document, key)
            if starts and seen.add_if_new(document.text):
                rows += [found.tokens[start : start + corpus.context] for start in starts]
    if not rows:
        raise BadInput(
            f"corpus '{corpus.source}' has no document of {corpus.context} tokens",
            "lower --context, or give longer documents",
        )
    return np.stack(rows[:wanted])


TOKENS, CONTEXT = 32_768, 64
"""Tokens, and tokens per context, that a checkpoint is evaluated on unless others are asked for."""

_CONTEXTS = "contexts.parquet"


@dataclass(frozen=True)
class EvaluationRequest:
    """What was asked for besides the SAEs. None: the run's, the checkpoint's, or the default."""

    model: str | None = None
    hook: str | None = None
    corpus: str | None = None
    tokens: int | None = None
    context: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class NamedSae:
    """An SAE and what it is called in tables."""

    name: str
    sae: SparseAutoencoder


@dataclass(frozen=True)
class Place:
    """One hook of one subject, with the text and the SAEs that are evaluated on it together."""

    subject: Subject
    hook: str
    text: str
    """What the contexts are, in words."""
    contexts: int
    read: ReadTokens
    seed: int
    """Of the resampling."""
    candidates: tuple[NamedSae, ...]


def is_run(where: str) -> bool:
    """Whether `where` is the folder of a run (and not a checkpoint)."""
    return (Path(where) / RUN_STUDY).is_file()


def hooks_to_evaluate(where: Sequence[str], asked: EvaluationRequest) -> list[Place]:
    """Open every subject and SAE, runs first; those on the same hook of the same subject and text go together.

    Raises BadInput for what can't be used together, and SaeError for what can't be loaded.
    """
    given = list(dict.fromkeys(where))
    runs = [w for w in given if is_run(w)]
    names = _names(given)
    found = [place for run in runs for place in _run_places(Path(run), names[run], asked, several=len(given) > 1)]
    grouped: dict[tuple[str, str], list[str]] = {}
    for checkpoint in (w for w in given if w not in runs):
        grouped.setdefault(_origin(checkpoint, asked), []).append(checkpoint)
    texts: dict[str, np.ndarray] = {}
    for (model, hook), members in grouped.items():
        found.append(_checkpoint_place(model, hook, {c: names[c] for c in members}, asked, texts))
    return found


def _run_places(run: Path, label: str, asked: EvaluationRequest, several: bool) -> list[Place]:
    """A run's SAEs on its own subject, hooks and held-out contexts; the label leads their names if there are others."""
    for name in ("model", "hook", "corpus", "context", "seed"):
        if getattr(asked, name) is not None:
            remedy = f"leave out --{name}, or give one of its SAEs: {run / sae_folder('NAME')}"
            raise BadInput(f"{run} is a run, which is evaluated on its own {name}", remedy)
    study = study_of(run)
    if not study.sae:
        raise BadInput(f"the run {run} has no SAE", "give one whose study has a section [[sae]]")
    subject = Resources(study, run, Mode()).subject
    contexts = count_contexts(run / _CONTEXTS, Split.HELD_OUT)
    if asked.tokens is not None:
        contexts = min(contexts, asked.tokens // study.corpus.context)
    if not contexts:
        raise BadInput(f"{asked.tokens} tokens are less than a context of {study.corpus.context}", "raise --tokens")

    def read() -> Iterator[np.ndarray]:
        batches = read_batches(run / _CONTEXTS, Split.HELD_OUT, study.subject.batch)
        return _first((batch.tokens for batch in batches), contexts)

    places = []
    for hook in dict.fromkeys(sae.hook for sae in study.sae):
        where = {
            f"{label}/{sae.name}" if several else sae.name: run / sae_folder(sae.name)
            for sae in study.sae
            if sae.hook == hook
        }
        text = f"held-out contexts of {label}"
        candidates = _load(where, subject, hook)
        places.append(Place(subject, hook, text, contexts, read, study.seed, candidates))
    return places


def _first(batches: Iterator[Int[np.ndarray, "_ token"]], contexts: int) -> Iterator[Int[np.ndarray, "context token"]]:
    left = contexts
    for batch in batches:
        if left <= 0:
            return
        yield batch[:left]
        left -= len(batch)


def _origin(checkpoint: str, asked: EvaluationRequest) -> tuple[str, str]:
    """Model and hook of a checkpoint: as asked for, else as its metadata say."""
    metadata: Mapping[str, Any] = {} if asked.model and asked.hook else read_metadata(checkpoint)
    model, hook = asked.model or metadata.get("model_name"), asked.hook or metadata.get("hook_name")
    for name, found in (("model", model), ("hook", hook)):
        if not found:
            raise BadInput(f"checkpoint {checkpoint} does not say which {name} it is for", f"give --{name}")
    if model == TRAINED:
        raise BadInput(f"checkpoint {checkpoint} is for a subject that a run trained", "give the folder of that run")
    return str(model), short_name(str(hook))


def _checkpoint_place(
    model: str, hook: str, names: Mapping[str, str], asked: EvaluationRequest, texts: dict[str, np.ndarray]
) -> Place:
    """Checkpoints of one hook, with their names, on contexts from a corpus; `texts` keeps those of each model."""
    study = parse_study(
        {
            "seed": asked.seed or 0,
            "subject": {"model": model, "hooks": [hook]},
            "corpus": {
                "source": asked.corpus or "builtin", "tokens": asked.tokens or TOKENS,
                "context": asked.context or CONTEXT,
            },
            "sae": [],
        }
    )  # fmt: skip
    subject = open_subject(study.subject)
    candidates = _load({name: checkpoint for checkpoint, name in names.items()}, subject, hook)
    if model not in texts:
        texts[model] = evaluation_contexts(study.corpus, subject.tokenizer, study.seed)
    tokens, size = texts[model], study.subject.batch
    for checkpoint in names:
        if read_metadata(checkpoint).get("dataset_path") == study.corpus.source:
            say(f"  {checkpoint} was trained on corpus '{study.corpus.source}': its figures may be of text that it saw")

    def read() -> Iterator[np.ndarray]:
        return (tokens[start : start + size] for start in range(0, len(tokens), size))

    return Place(subject, hook, f"corpus {study.corpus.source}", len(tokens), read, study.seed, candidates)


def _names(where: Sequence[str]) -> dict[str, str]:
    """Name of each: of a local folder its last part, where no other has the same; else what was given."""
    short = {w: Path(w).resolve().name if Path(w).is_dir() else w for w in where}
    taken = list(short.values())
    return {w: name if taken.count(name) == 1 else w for w, name in short.items()}


def _load(where: Mapping[str, str | Path], subject: Subject, hook: str) -> tuple[NamedSae, ...]:
    """The SAEs of these names on the subject's device; BadInput when one reads vectors of another length."""
    width = subject.widths[hook]
    candidates = []
    for name, checkpoint in where.items():
        sae = load(checkpoint)
        if sae.transcodes:
            raise BadInput(
                f"'{name}' is a transcoder, which writes another vector than it reads",
                "sae eval splices reconstructions in where they were read: give an SAE",
            )
        if sae.d_in != width:
            raise BadInput(
                f"SAE '{name}' reads vectors of {sae.d_in}, hook '{hook}' gives {width}",
                "name the hook that it was trained on",
            )
        candidates.append(NamedSae(name, sae.to(subject.device)))
    return tuple(candidates)
