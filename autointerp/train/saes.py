"""The train stage: SAEs from activations of the training split, in SAELens' layout; every step's figures are logged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_value, seed_of
from autointerp.collect.passes import Reader
from autointerp.errors import BadInput
from autointerp.models import device_of
from autointerp.progress import Bar, bar, say
from autointerp.study import Study
from autointerp.study_inputs import Sae, SaeTraining, Training
from autointerp.subject.forward import Subject
from autointerp.train.agreement import check_agreement
from autointerp.train.peers import summon
from autointerp.train.streams import SHARDS, live_vectors, read_shards, write_shards
from autointerp.units.scrambled import sae_of
from sae.checkpoint import load, read_metadata, save
from sae.errors import SaeError
from sae.parallel import Peers
from sae.streams.vectors import VectorSource
from sae.training.loggers import Loggers, open_loggers
from sae.training.train import Checkpoints, train_together
from sae.training.trainer import Trained, TrainState

_NOTED = 2
"""SAEs whose figures fit beside the bar."""


class Journal:
    """Opened with the first step, which tells where training goes on; `RUN/training/NAME/metrics.csv` per SAE."""

    def __init__(self, settings: Training, run: Path, progress: Bar) -> None:
        """`progress` is a bar over vectors."""
        self._settings, self._run, self._bar = settings, run, progress
        self._loggers: dict[str, Loggers] = {}

    def add(self, states: Mapping[str, TrainState]) -> None:
        """The states after a step, by the names of the SAEs, which all have seen the same vectors."""
        first = next(iter(states.values()))
        batch = first.vectors // first.step
        if not self._loggers:
            self._open(states, first.step - 1)
            self._bar.advance((first.step - 1) * batch)
        for name, state in states.items():
            self._loggers[name].add(state)
        self._bar.note("  ".join(_figures(name, states) for name in list(states)[:_NOTED]))
        self._bar.advance(batch)

    def _open(self, states: Mapping[str, TrainState], resumed: int) -> None:
        if resumed:
            say(f"  training goes on from its checkpoint, after step {resumed:,}")
        for name in states:
            path = self._run / "training" / name / "metrics.csv"
            self._loggers[name] = open_loggers(self._settings.log, path, resumed, self._settings.log_every)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        for loggers in self._loggers.values():
            loggers.close()


def _figures(name: str, states: Mapping[str, TrainState]) -> str:
    state = states[name]
    lead = f"{name}: " if len(states) > 1 else ""
    return f"{lead}loss {state.loss:.3f}  L0 {state.l0:.0f}  dead {state.dead_share:.0%}"


_CHECKPOINTS = Path("work") / "training"


def sae_folder(name: str) -> Path:
    """Where a run keeps an SAE, relative to its folder."""
    return Path("sae") / name


def saes_as_hashed(dump: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The SAEs of a dumped study, as the key `sae`; where nothing is frozen or let through, as in older runs."""
    found = [{**sae, "train": dict(sae["train"])} if sae["train"] else dict(sae) for sae in dump["sae"]]
    for sae in found:
        if not sae["despite"]:
            del sae["despite"]
        if sae["train"] and sae["train"]["freeze"] == "none":
            del sae["train"]["freeze"]
    return {"sae": found}


def make_saes(study: Study, subject: Reader, identity: str, run: Path) -> None:
    """Train the SAEs that have a recipe, copy in those that have a checkpoint; all land in `run/sae`.

    Vectors go to disk once per hook, in shards that an interrupted run continues and that are removed at the end; or
    the subject computes them while training goes on (`training.shards`). SAEs of one hook, with batches of one size and
    as many passes, are trained on one stream; an interrupted training goes on from its last checkpoint. Other processes
    of this run train along.
    """
    try:
        streams = _streams(study)
        if streams and study.training.shards:
            write_shards(study, subject, identity, run, sorted({stream.hook for stream in streams}))
        for sae in study.sae:
            if sae.train is None:
                _copy(study, subject, sae, run)
        if streams:
            summon()
        for stream in streams:
            _make(study, stream, _vectors(study, stream, lambda: (subject, identity), run), run)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    for bulk in (SHARDS, _CHECKPOINTS):
        if (run / bulk).is_dir():
            shutil.rmtree(run / bulk)


def train_along(study: Study, subject: Callable[[], Subject], run: Path) -> None:
    """What the other processes do while the first one is in `make_saes`: the same training, and nothing is written.

    `subject` is only called where the vectors are computed while training goes on.
    """
    try:
        for stream in _streams(study):
            vectors = _vectors(study, stream, lambda: (subject(), subject().identity), run)
            _train(study, stream, vectors, run, None)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error


def make_scrambled_saes(study: Study, subject: Subject, name: str, run: Path) -> None:
    """Train the counterparts of the study's own SAEs on the scrambled subject `name`; they land in `run/sae` too."""
    if Peers().size > 1:
        raise BadInput(
            "scrambled subjects have SAEs that one process trains, and this run has several",
            "start it without torchrun, or set scrambled.seeds = []",
        )
    own = tuple(sae.model_copy(update={"name": sae_of(sae.name, name)}) for sae in study.sae if sae.train)
    make_saes(study.model_copy(update={"sae": own}), subject, subject.identity, run)


@dataclass(frozen=True)
class _TrainingStream:
    """SAEs that are trained together."""

    hook: str
    batch: int
    passes: int
    recipes: Mapping[str, SaeTraining]


def _streams(study: Study) -> list[_TrainingStream]:
    found: dict[tuple[str, int, int], dict[str, SaeTraining]] = {}
    for sae in study.sae:
        if sae.train is not None:
            found.setdefault((sae.hook, sae.train.batch, sae.train.passes), {})[sae.name] = sae.train
    return [_TrainingStream(*shared, recipes) for shared, recipes in found.items()]


def _vectors(
    study: Study, stream: _TrainingStream, subject: Callable[[], tuple[Reader, str]], run: Path
) -> VectorSource:
    """`subject` gives the subject, and what names its weights."""
    if study.training.shards:
        return read_shards(run, stream.hook)
    return live_vectors(study, *subject(), run, stream.hook)


def _copy(study: Study, subject: Reader, sae: Sae, run: Path) -> None:
    said = read_metadata(str(sae.checkpoint))
    if isinstance(subject, Subject):
        check_agreement(study, subject, sae, said)
    made = load(str(sae.checkpoint))
    if made.d_in != subject.widths[sae.hook]:
        raise BadInput(
            f"SAE '{sae.name}' reads vectors of {made.d_in}, hook '{sae.hook}' gives {subject.widths[sae.hook]}",
            "name the hook that it was trained on",
        )
    save(made, run / sae_folder(sae.name), said)


def _make(study: Study, stream: _TrainingStream, vectors: VectorSource, run: Path) -> None:
    """Train the SAEs of a stream, show how it goes, and save them."""
    steps = stream.passes * vectors.count // stream.batch
    names = ", ".join(f"'{name}'" for name in stream.recipes)
    with (
        bar(f"train SAE {names}", steps * stream.batch, "vectors") as progress,
        Journal(study.training, run, progress) as journal,
    ):
        trained = _train(study, stream, vectors, run, journal.add)
    for name, (sae, m) in trained.items():
        say(f"  SAE '{name}': FVU {m.fvu:.3f}, L0 {m.l0:.1f}, dead {m.dead_share:.1%} after {m.vectors:,} vectors")
        save(sae, run / sae_folder(name), _metadata(study, stream.hook, stream.recipes[name]))


def _train(
    study: Study,
    stream: _TrainingStream,
    vectors: VectorSource,
    run: Path,
    progress: Callable[[Mapping[str, TrainState]], None] | None,
) -> dict[str, Trained]:
    checkpoint = f"{hash_value([stream.hook, sorted(stream.recipes)])[:16]}.safetensors"
    return train_together(
        {name: (recipe, seed_of(study.seed_for("sae"), "sae", name)) for name, recipe in stream.recipes.items()},
        vectors,
        passes=stream.passes,
        seed=seed_of(study.seed_for("sae"), "stream", stream.hook),
        progress=progress,
        device=str(device_of(study.subject.device)),
        checkpoints=Checkpoints(run / _CHECKPOINTS / checkpoint, 60 * study.training.minutes),
    )


def _metadata(study: Study, hook: str, recipe: SaeTraining) -> Mapping[str, str | int | float]:
    sparsity = {"trained_l1": recipe.l1} if recipe.architecture in ("standard", "gated") else {"trained_k": recipe.k}
    return {
        "model_name": study.subject.model,
        "hook_name": hook,
        "context_size": study.corpus.context,
        "dataset_path": study.corpus.source,
        "trained_as": recipe.architecture,
        **({} if recipe.freeze == "none" else {"trained_with_frozen": recipe.freeze}),
        **sparsity,
    }
