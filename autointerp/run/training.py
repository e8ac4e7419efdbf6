"""The train stage: activations of the training split to disk, an SAE from them, in SAELens' layout."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from autointerp.artifacts import hash_file, seed_of
from autointerp.collect.reading import count_contexts, read_batches
from autointerp.collect.stage import Reader
from autointerp.errors import BadInput
from autointerp.progress import bar, say
from autointerp.records import Split
from autointerp.run.paths import TRAIN
from autointerp.study import Sae, SaeTraining, Study
from sae.base import SparseAutoencoder
from sae.checkpoint import load, read_metadata, save
from sae.errors import SaeError
from sae.shards import ShardReader, ShardWriter
from sae.train import TrainState, train

_SHARDS = Path("work") / "vectors"


def sae_folder(name: str) -> Path:
    """Where a run keeps an SAE, relative to its folder."""
    return Path("sae") / name


def make_saes(study: Study, subject: Reader, identity: str, run: Path) -> None:
    """Train the SAEs that have a recipe, copy in those that have a checkpoint; all land in `run/sae`.

    Vectors go to disk once per hook, in shards that an interrupted run continues, and are removed at the end.
    """
    try:
        hooks = sorted({sae.hook for sae in study.sae if sae.train is not None})
        if hooks:
            _write_vectors(study, subject, identity, run, hooks)
        for sae in study.sae:
            _make(study, subject, sae, run)
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error
    if (run / _SHARDS).is_dir():
        shutil.rmtree(run / _SHARDS)


def _write_vectors(study: Study, subject: Reader, identity: str, run: Path, hooks: Sequence[str]) -> None:
    table = run / TRAIN
    size, context = study.subject.batch, study.corpus.context
    about = {"subject": identity, "contexts": hash_file(table), "batch": str(size), "dtype": study.subject.dtype}
    per_shard = max(1, 8192 // (size * context)) * size * context  # whole batches: a resumed run repeats the same sums
    writers = {
        hook: ShardWriter(run / _SHARDS / str(place), subject.widths[hook], {**about, "hook": hook}, per_shard)
        for place, hook in enumerate(hooks)
    }
    pending = {hook: w for hook, w in writers.items() if not w.complete}
    if not pending:
        return
    contexts = count_contexts(table, Split.TRAIN)
    done = {hook: w.vectors // (size * context) for hook, w in pending.items()}
    skip = min(done.values())
    with bar("activations for training", contexts - skip * size, "contexts") as progress:
        for place, batch in enumerate(islice(read_batches(table, Split.TRAIN, size), skip, None), start=skip):
            read = subject.activations(batch.tokens)
            for hook, writer in pending.items():
                if place >= done[hook]:
                    writer.append(read[hook].reshape(-1, subject.widths[hook]).cpu())
            progress.advance(len(batch.contexts))
    for writer in pending.values():
        writer.finish()


def _make(study: Study, subject: Reader, sae: Sae, run: Path) -> None:
    folder = run / sae_folder(sae.name)
    if sae.train is None:
        made = load(str(sae.checkpoint))
        if made.d_in != subject.widths[sae.hook]:
            raise BadInput(
                f"SAE '{sae.name}' reads vectors of {made.d_in}, hook '{sae.hook}' gives {subject.widths[sae.hook]}",
                "name the hook that it was trained on",
            )
        save(made, folder, read_metadata(str(sae.checkpoint)))
        return
    hooks = sorted({s.hook for s in study.sae if s.train is not None})
    vectors = ShardReader(run / _SHARDS / str(hooks.index(sae.hook)))
    save(_train(study, sae, sae.train, vectors), folder, _metadata(study, sae, sae.train))


def _train(study: Study, sae: Sae, recipe: SaeTraining, vectors: ShardReader) -> SparseAutoencoder:
    steps = recipe.passes * vectors.count // recipe.batch
    with bar(f"train SAE '{sae.name}'", steps, "steps") as progress:

        def show(state: TrainState) -> None:
            progress.note(f"FVU {state.fvu:.3f}  L0 {state.l0:.0f}  dead {state.dead_share:.0%}")
            progress.advance()

        trained = train(
            recipe.architecture,
            vectors,
            width=recipe.width,
            k=recipe.k,
            passes=recipe.passes,
            batch=recipe.batch,
            lr=recipe.lr,
            seed=seed_of(study.seed, "sae", sae.name),
            progress=show,
        )
    m = trained.metrics
    say(f"  SAE '{sae.name}': FVU {m.fvu:.3f}, L0 {m.l0:.1f}, dead {m.dead_share:.1%} after {m.vectors:,} vectors")
    return trained.sae


def _metadata(study: Study, sae: Sae, recipe: SaeTraining) -> Mapping[str, str | int]:
    return {
        "model_name": study.subject.model,
        "hook_name": sae.hook,
        "context_size": study.corpus.context,
        "dataset_path": study.corpus.source,
        "trained_as": recipe.architecture,
        "trained_k": recipe.k,
    }
