"""Published explanations, scored here: a run whose first stage reads them, and whose other stages are those of any run.

Nothing of the features' model or SAE is needed: their activations are published, and simulators and judges see text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autointerp.artifacts import hash_file, hash_value, read_json, write_text
from autointerp.errors import BadInput
from autointerp.exchange.arrived_tables import TABLES_WRITTEN, write_arrived
from autointerp.exchange.arriving import Sharing
from autointerp.exchange.held_apart import SEEN
from autointerp.exchange.layout import FROM, KINDS_OF_FILE, files_of, sidecars_of
from autointerp.exchange.published import read_published
from autointerp.judge.registry import traits_of
from autointerp.llm.open import Mode
from autointerp.plot.stage import plot
from autointerp.records import Kind
from autointerp.report.imported import IMPORTED
from autointerp.report.provenance import write_sources
from autointerp.report.stage import report
from autointerp.run.checks import check_study, find_capabilities
from autointerp.run.folder import Run
from autointerp.run.manifest import IMPORT, read_manifest
from autointerp.run.plan import Stage, execute
from autointerp.run.resources import Resources, note_threads
from autointerp.run.stages import ASKING, stages, without_secrets
from autointerp.study import Study
from autointerp.study_file import RUN_STUDY, dump_study, parse_study
from autointerp.study_models import Llm
from autointerp.tables import EFFECTS

_STAGES = ("simulate", "judge", "score", "compare")
_SHORTEST = 8
"""Tokens of a context, as a study has them; shorter ones are imported all the same."""


class ImportedResources(Resources):
    """Those of a run that opens no subject."""

    @cached_property
    def subject_identity(self) -> str:
        """The models' names over there."""
        return f"published: {self.study.subject.model}"

    def same_words(self, llm: Llm) -> bool:
        """Never: the ids of published tokens are made here, of their texts."""
        return False


def import_published(
    folder: Path,
    out: Path,
    study: Study,
    *,
    seen: int = SEEN,
    tables_only: bool = False,
    ledger: Path | None = None,
    replay: bool = False,
) -> Run:
    """Read a folder of Neuronpedia's bulk layout, score its explanations in run folder `out`, and write the report.

    Of `study` these count: simulator, judges and their models, metrics and slices, comparison, budget, seed,
    `units.features` (drawn of each source) and the numbers of held-out contexts. `seen`: contexts of every feature with
    the largest maxima that are not scored. What is up to date is not done again. With `tables_only` nothing is scored.

    Raises BadInput for a folder that holds nothing to score or is damaged, for a run folder that holds another run, and
    as `run` does for a study that can't be carried out.
    """
    _check(folder, out, study)
    sharing = Sharing(
        seen, study.evidence.held_out_top, any(name.startswith(Kind.QUANTILE) for name in study.score.slices)
    )
    first = _importing(folder, out, study, sharing)
    note_threads(study.threads)
    resources: Resources | None = None
    try:
        if not tables_only:  # what can't be scored by is said before anything is read
            check_study(ImportedResources(_scored_by(study, None), out, Mode(replay)))
        facts = {"threads": note_threads(study.threads), "seed": study.seed, "device": study.subject.device}
        execute(out, [first], facts)
        about = read_json(out / IMPORTED)
        scored = _scored_by(study, about)
        write_text(out / RUN_STUDY, dump_study(without_secrets(scored)))
        if tables_only:
            return Run(out, scored)
        resources = ImportedResources(scored, out, Mode(replay), ledger)
        find_capabilities(resources, "simulate")
        rest = [_adapted(stage) for stage in stages(scored, resources, out) if stage.name in _STAGES]
        opened = resources
        again = frozenset(ASKING if replay else ())
        execute(out, [first, *rest], facts, again=again, unanswered=lambda: opened.unanswered)
    finally:
        if resources is not None:
            resources.close()
    plot(out)
    report(out)
    write_sources(out)
    return Run(out, scored)


def _check(folder: Path, out: Path, study: Study) -> None:
    for name in study.judge.methods:
        if traits_of(name).of_tokens:
            raise BadInput(
                f"judge '{name}' is about promoted tokens, which whoever explained may have been shown",
                "take it out of judge.methods",
            )
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", "give one that holds features/, explanations/ and activations/")
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file", "give a folder with --out")
    others = [name for name in read_manifest(out) if name not in (IMPORT, *_STAGES)]
    if others:
        raise BadInput(f"{out} holds a run of another kind (it has the stage '{others[0]}')", "give another --out")


def _importing(folder: Path, out: Path, study: Study, sharing: Sharing) -> Stage:
    """The stage that reads what is published. It depends on the files that it reads, and not on where they lie."""
    paths = [*(path for kind in KINDS_OF_FILE for path in files_of(folder, kind)), *sidecars_of(folder)]
    content = hash_value({str(path.relative_to(folder)): hash_file(path) for path in paths})
    most, seed = study.units.features, study.seed_for("units")

    def work() -> None:
        write_arrived(out, read_published(folder, most, seed), sharing, folder.resolve().name)

    return Stage(
        IMPORT,
        reads=(),
        settings={"content": content, "features": most, "seed": seed, **vars(sharing)},
        writes=(*(f"{name}.parquet" for name in TABLES_WRITTEN), EFFECTS, IMPORTED),
        bulk=(EFFECTS,),
        work=work,
    )


def _adapted(stage: Stage) -> Stage:
    """A stage of any run: what only one's own units have, it does without."""
    own = {f"{name}.parquet" for name in TABLES_WRITTEN} | {EFFECTS}
    later = {f"{name}.parquet" for name in ("simulations", "shuffled", "by_kind", "judgements", "scores")}
    return replace(stage, reads=tuple(path for path in stage.reads if path in own | later))


def _scored_by(study: Study, about: Mapping[str, Any] | None) -> Study:
    """What a study says of simulating, judging, scoring and comparing, and of nothing that was done elsewhere.

    There is no token table (it would be of a unit's top contexts alone), and nothing was proposed here.
    """
    dump = study.model_dump(mode="json", exclude_none=True)
    told = about or {"models": ["published"], "hooks": [], "context": _SHORTEST, "contexts": {}, "folder": ""}
    sizes: Mapping[str, int] = told["contexts"]
    total = sum(sizes.values())
    shown = min(0.99, max(0.01, round(sizes.get("evidence", 0) / total, 4))) if total else 0.5
    dump["subject"] = {
        "model": FROM + ", ".join(told["models"]), "hooks": told["hooks"] or ["unknown"],
        "device": study.subject.device,
    }  # fmt: skip
    dump["corpus"] = {
        "source": f"{FROM}{told['folder']}", "context": max(_SHORTEST, told["context"]),
        "tokens": max(1, total * told["context"]), "train": 0.0, "evidence": shown, "calibration": 0.0,
        "held_out": 1 - shown,
    }  # fmt: skip
    dump |= {"sae": [], "scrambled": {"seeds": []}, "explain": {"llm": study.simulate.llm}}
    dump["units"] = {"features": study.units.features, "neurons": 0, "directions": 0, "controls": []}
    dump["evidence"]["hard_negatives"] = 0
    dump["simulate"] |= {"lookup": False, "both_kinds": False}
    dump["compare"] |= {"replicates": 1, "redraw": []}
    return parse_study(dump)
