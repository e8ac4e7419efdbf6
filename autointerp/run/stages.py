"""The stages of a run, wired: what each reads, writes and depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp import study as config
from autointerp.artifacts import hash_file
from autointerp.run.bench import Bench
from autointerp.run.paths import CANDIDATES, EVIDENCE, HELD_OUT, TABLES, TRAIN
from autointerp.run.plan import Stage
from autointerp.run.training import sae_folder
from autointerp.study import Llm, Study


def stages(study: Study, bench: Bench, run: Path) -> list[Stage]:
    """Every stage, in the order of the data."""
    dump = study.model_dump(mode="json")
    base = {"seed": study.seed, "subject": bench.subject_identity}
    reading = {"subject": dump["subject"], **base}
    saes = tuple(str(sae_folder(sae.name)) for sae in study.sae)
    explainer = _llm(study.llm[study.explain.llm])
    simulator = {"simulate": dump["simulate"], "llm": _llm(study.llm[study.simulate.llm]), "prompts": _prompts(bench)}
    return [
        Stage(
            "corpus",
            reads=(),
            settings={"corpus": dump["corpus"], "content": _content(study.corpus), **base},
            writes=("documents.parquet", "contexts.parquet", TRAIN),
            bulk=(TRAIN,),
            work=lambda: _corpus(bench, run),
        ),
        Stage(
            "train",
            reads=(TRAIN,) if any(s.train for s in study.sae) else (),
            settings={"sae": dump["sae"], "checkpoints": _checkpoints(study), **reading},
            writes=saes,
            bulk=saes,
            work=lambda: _train(bench, run),
        ),
        Stage(
            "collect",
            reads=("contexts.parquet", *saes),
            settings={"units": dump["units"], "evidence": dump["evidence"], **reading},
            writes=(CANDIDATES, EVIDENCE, HELD_OUT, TABLES),
            bulk=(CANDIDATES, EVIDENCE, HELD_OUT, TABLES),
            work=lambda: _collect(bench, run),
        ),
        Stage(
            "explain",
            reads=("contexts.parquet", CANDIDATES, EVIDENCE),
            settings={"explain": dump["explain"], "llm": explainer, "ranked by": simulator, **base},
            writes=("units.parquet", "explanations.parquet"),
            bulk=(),
            work=lambda: _explain(bench, run),
        ),
        Stage(
            "settle",
            reads=("units.parquet", EVIDENCE, HELD_OUT),
            settings={},
            writes=("evidence.parquet",),
            bulk=(),
            work=lambda: _settle(run),
        ),
        Stage(
            "simulate",
            reads=("contexts.parquet", "units.parquet", "explanations.parquet", "evidence.parquet", TABLES, CANDIDATES),
            settings={**simulator, "score": dump["score"], "derangements": study.compare.derangements, **base},
            writes=("simulations.parquet", "shuffled.parquet"),
            bulk=(),
            work=lambda: _simulate(bench, run),
        ),
        *_judging(study, dump, run),
    ]


def _judging(study: Study, dump: dict[str, Any], run: Path) -> list[Stage]:
    tables = ("units.parquet", "evidence.parquet", "contexts.parquet", "explanations.parquet")
    return [
        Stage(
            "score",
            reads=(*tables, "simulations.parquet", "shuffled.parquet"),
            settings={"score": dump["score"], "evidence": dump["evidence"], "simulate": dump["simulate"]},
            writes=("scores.parquet",),
            bulk=(),
            work=lambda: _score(study, run),
        ),
        Stage(
            "compare",
            reads=("units.parquet", "scores.parquet"),
            settings={"compare": dump["compare"], "seed": study.seed},
            writes=("comparison.parquet",),
            bulk=(),
            work=lambda: _compare(study, run),
        ),
    ]


def _llm(llm: Llm) -> dict[str, Any]:
    """What an answer depends on; how fast it is asked for is left out."""
    return llm.model_dump(mode="json", include={"provider", "model", "base_url", "batch", "temperature", "max_tokens"})


def _prompts(bench: Bench) -> str:
    return hash_file(bench.prompts) if bench.prompts else "built in"


def _content(corpus: config.Corpus) -> str:
    """The bytes of a local corpus: a changed file is a changed corpus."""
    path = Path(corpus.source).expanduser()
    return hash_file(path) if corpus.source != "builtin" and path.exists() else ""


def _checkpoints(study: Study) -> list[str]:
    paths = [Path(sae.checkpoint).expanduser() for sae in study.sae if sae.checkpoint is not None]
    return [hash_file(path) for path in paths if path.exists()]


def _corpus(bench: Bench, run: Path) -> None:
    from autointerp.corpus.stage import build_corpus

    build_corpus(bench.study, bench.subject.tokenizer, run)


def _train(bench: Bench, run: Path) -> None:
    from autointerp.run.training import make_saes

    make_saes(bench.study, bench.subject, bench.subject_identity, run)


def _collect(bench: Bench, run: Path) -> None:
    from autointerp.collect.stage import collect

    collect(bench.study, bench.subject, bench.encoders(), run)


def _explain(bench: Bench, run: Path) -> None:
    from autointerp.run.explaining import explain

    explain(bench, run)


def _settle(run: Path) -> None:
    from autointerp.run.settling import settle

    settle(run)


def _simulate(bench: Bench, run: Path) -> None:
    from autointerp.run.simulating import simulate

    simulate(bench.study, bench.simulator, run)


def _score(study: Study, run: Path) -> None:
    from autointerp.score.stage import score

    score(study, run)


def _compare(study: Study, run: Path) -> None:
    from autointerp.compare.stage import compare

    compare(study, run)
