"""The stages of a run, wired: what each reads, writes and depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp import study_inputs as inputs
from autointerp.artifacts import write_text
from autointerp.corpus.listing import content_of
from autointerp.explain.registry import method_names
from autointerp.explain.revise import Revise
from autointerp.judge.registry import traits_of, uses_model
from autointerp.llm.address import public_url
from autointerp.run import scrambled
from autointerp.run.decomposing import decomposing
from autointerp.run.hashed import llm_of, prompts_of, seeds_of, settings_of, stream_of, units_of
from autointerp.run.plan import Stage, execute
from autointerp.run.resources import Resources, note_threads
from autointerp.run.training import training
from autointerp.study import Study
from autointerp.study_file import RUN_STUDY, dump_study
from autointerp.tables import BY_KIND, CANDIDATES, EFFECTS, EVIDENCE, HELD_OUT, PROPOSALS, REVISIONS, TABLES, TRAIN
from autointerp.train.saes import sae_folder
from autointerp.train.subject import SUBJECT, TOKENIZER

ASKING = ("explain", "simulate", "judge")
"""Stages that ask language models."""


def stages(study: Study, resources: Resources, run: Path) -> list[Stage]:
    """Every stage, in the order of the data."""
    dump = settings_of(study)
    base = {"seed": study.seed, "subject": resources.subject_identity}
    return [
        *_text(study, dump, base, resources, run),
        *_reading(study, dump, base, resources, run),
        *_explaining(study, dump, base, resources, run),
        *_judging(study, dump, resources, run),
        *_scoring(study, dump, run),
    ]


def _reading(study: Study, dump: dict[str, Any], base: dict[str, Any], resources: Resources, run: Path) -> list[Stage]:
    """The SAEs, and what is read of the units."""
    reading = {"subject": dump["subject"], **base}
    recipe = {"stream": stream_of(study), **reading, **seeds_of(study, "sae")}
    subject = (SUBJECT,) if study.subject.train else ()
    saes = tuple(str(sae_folder(sae.name)) for sae in study.sae)
    resembling = ({"sentences": dump["sentences"]} if study.evidence.hard_negatives else {}) | scrambled.wanted(study)
    drawn = {"units": units_of(dump), "evidence": dump["evidence"], **seeds_of(study, "units", "evidence")}
    fitted = decomposing(study, {**reading, **seeds_of(study, "units")}, resources, run)
    components = tuple(path for stage in fitted for path in stage.bulk)
    return [
        *scrambled.training(study, recipe, resources, run),
        *training(study, dump, recipe, saes, resources, run),
        *fitted,
        Stage(
            "collect",
            reads=("contexts.parquet", *saes, *components, *scrambled.folders(study), *subject),
            settings={**drawn, **resembling, **reading},
            writes=(CANDIDATES, EVIDENCE, HELD_OUT, TABLES, EFFECTS),
            bulk=(CANDIDATES, EVIDENCE, HELD_OUT, TABLES, EFFECTS),
            work=lambda: _collect(resources, run),
        ),
    ]


def _explaining(
    study: Study, dump: dict[str, Any], base: dict[str, Any], resources: Resources, run: Path
) -> list[Stage]:
    """Explanations, and what they predict."""
    revisions = (REVISIONS,) if Revise.name in method_names(study) else ()
    simulator = {
        "simulate": dump["simulate"],
        "llm": llm_of(study.llm[study.simulate.llm]),
        "prompts": prompts_of(resources),
        "sentences": dump["sentences"],
    }
    ranking = study.ranking
    ranked = {"simulate": ranking.simulate.model_dump(mode="json"), "llm": llm_of(ranking.llm[ranking.simulate.llm])}
    asked = {
        "explain": dump["explain"],
        "llm": llm_of(study.llm[study.explain.llm]),
        "ranked by": {**simulator, **ranked},
    }
    held = {"score": dump["score"], "derangements": study.compare.derangements, **scrambled.paired(study)}
    return [
        Stage(
            "explain",
            reads=("contexts.parquet", CANDIDATES, EVIDENCE, EFFECTS),
            settings={**asked, **base, **seeds_of(study, "explain", "simulate")},
            writes=("units.parquet", "explanations.parquet", PROPOSALS, *revisions),
            bulk=(),
            work=lambda: _explain(resources, run),
        ),
        Stage(
            "settle",
            reads=("units.parquet", EVIDENCE, HELD_OUT),
            settings={},
            writes=("evidence.parquet",),
            bulk=(),
            work=lambda: _join(run),
        ),
        Stage(
            "simulate",
            reads=(*_TABLES, PROPOSALS, TABLES, CANDIDATES),
            settings={**simulator, **held, **base, **seeds_of(study, "simulate")},
            writes=("simulations.parquet", "shuffled.parquet", BY_KIND),
            bulk=("shuffled.parquet", BY_KIND),  # in `scores`, unit by unit
            work=lambda: _simulate(resources, run),
        ),
    ]


def carry_out(
    resources: Resources,
    run: Path,
    until: str,
    again: frozenset[str] = frozenset(),
    base: Path | None = None,
    threads: int = 0,
) -> None:
    """Carry the study out in folder `run`, up to stage `until`; stages named in `again` in any case.

    A replicate takes over what its run, in folder `base`, has made of the same inputs. `threads`: of torch, where
    they are not those of the study.
    """
    study = resources.study
    threads = note_threads(threads or study.threads)
    plan = stages(study, resources, run)
    device = resources.check_subject()  # a wrong model or hook is said before anything is written
    write_text(run / RUN_STUDY, dump_study(without_secrets(study)))
    names = [stage.name for stage in plan]
    facts = {"threads": threads, "seed": study.seed, "device": str(device)}
    wanted = plan[: names.index(until) + 1]
    execute(run, wanted, facts, again=again, unanswered=lambda: resources.unanswered, base=base)


def without_secrets(study: Study) -> Study:
    """The study as it may be stored: addresses without user, password and query."""
    llms = {
        name: llm.model_copy(update={"base_url": public_url(llm.base_url)}) if llm.base_url else llm
        for name, llm in study.llm.items()
    }
    return study.model_copy(update={"llm": llms})


def asking_work(name: str, resources: Resources, run: Path) -> None:
    """The work of one of the stages that ask, on tables that are there."""
    {"explain": _explain, "simulate": _simulate, "judge": _judge}[name](resources, run)


def _text(study: Study, dump: dict[str, Any], base: dict[str, Any], resources: Resources, run: Path) -> list[Stage]:
    """The corpus, cut by the subject's tokenizer; and the subject, when it is trained on it."""
    recipe = study.subject.train
    tokenizer = (TOKENIZER,) if recipe else ()
    cut_by = {"vocabulary": recipe.vocabulary} if recipe else resources.subject_identity
    content, facts = content_of(study.corpus)
    own = seeds_of(study, "corpus")
    corpus = Stage(
        "corpus",
        reads=(),
        settings={"corpus": dump["corpus"], "content": content, "seed": study.seed, "subject": cut_by, **own},
        writes=("documents.parquet", "contexts.parquet", TRAIN, *tokenizer),
        bulk=(TRAIN, *tokenizer),
        work=lambda: _corpus(resources, run),
        facts=facts,
    )
    if recipe is None:
        return [corpus]
    subject = Stage(
        "subject",
        reads=(TRAIN, "contexts.parquet", TOKENIZER),
        settings=base,
        writes=(SUBJECT,),
        bulk=(SUBJECT,),
        work=lambda: _subject(study, recipe, run),
    )
    return [corpus, subject]


_TABLES = ("units.parquet", "evidence.parquet", "contexts.parquet", "explanations.parquet")
_JUDGEMENTS = "judgements.parquet"


def _judging(study: Study, dump: dict[str, Any], resources: Resources, run: Path) -> list[Stage]:
    """The judge stage, when the study has judges."""
    if not study.judge.methods:
        return []
    llm = llm_of(study.llm[study.judge.llm]) if any(uses_model(name) for name in study.judge.methods) else None
    settings = {"judge": dump["judge"], "llm": llm, "prompts": prompts_of(resources), "seed": study.seed}
    settings |= seeds_of(study, "simulate")
    if any(traits_of(name).needs.sentences for name in study.judge.methods):
        settings["sentences"] = dump["sentences"]
    return [
        Stage(
            "judge",
            reads=(*_TABLES, EFFECTS) if any(traits_of(name).of_tokens for name in study.judge.methods) else _TABLES,
            settings={**settings, "evidence": dump["evidence"]},
            writes=(_JUDGEMENTS,),
            bulk=(),
            work=lambda: _judge(resources, run),
        )
    ]


def _scoring(study: Study, dump: dict[str, Any], run: Path) -> list[Stage]:
    judged = (_JUDGEMENTS,) if study.judge.methods else ()
    return [
        Stage(
            "score",
            reads=(*_TABLES, "simulations.parquet", "shuffled.parquet", BY_KIND, *judged),
            settings={"score": dump["score"], "evidence": dump["evidence"], "simulate": dump["simulate"]},
            writes=("scores.parquet",),
            bulk=(),
            work=lambda: _score(study, run),
        ),
        *scrambled.comparing(study, run),
        Stage(
            "compare",
            reads=("units.parquet", "evidence.parquet", "contexts.parquet", "scores.parquet"),
            settings={"compare": dump["compare"], "seed": study.seed},
            writes=("comparison.parquet", "covariates.parquet", "adjusted.parquet"),
            bulk=(),
            work=lambda: _compare(study, run),
        ),
    ]


def _corpus(resources: Resources, run: Path) -> None:
    from autointerp.corpus.stage import build_corpus
    from autointerp.train.subject import cut_for

    recipe = resources.study.subject.train
    if recipe is not None:
        cut_for(resources.study, recipe, run)
    else:
        build_corpus(resources.study, resources.subject.tokenizer, run)


def _subject(study: Study, recipe: inputs.SubjectTraining, run: Path) -> None:
    from autointerp.train.subject import make_subject

    make_subject(study, recipe, run)


def _collect(resources: Resources, run: Path) -> None:
    from autointerp.collect.effects_table import write_effects
    from autointerp.collect.stage import collect

    embed = resources.sentences.vectors if resources.study.evidence.hard_negatives else None
    drawn = collect(resources.study, scrambled.reader_of(resources), resources.encoders(), run, embed)
    write_effects(run / EFFECTS, resources.subject, drawn, resources.scrambled)


def _explain(resources: Resources, run: Path) -> None:
    from autointerp.explain.stage import explain

    study = resources.study
    explain(
        study,
        run,
        lambda: resources.asker(study.explain.llm, "explain", batch=True),
        lambda: resources.simulator("explain", ranking=True),
    )


def _join(run: Path) -> None:
    from autointerp.contexts.joining import join

    join(run)


def _simulate(resources: Resources, run: Path) -> None:
    from autointerp.simulate.stage import simulate

    with resources.simulator("simulate") as simulator:
        simulate(resources.study, simulator, run)


def _judge(resources: Resources, run: Path) -> None:
    from autointerp.judge.stage import judge

    with resources.judges("judge") as (judges, asker):
        judge(resources.study, judges, asker, run)


def _score(study: Study, run: Path) -> None:
    from autointerp.score.stage import score

    score(study, run)


def _compare(study: Study, run: Path) -> None:
    from autointerp.compare.stage import compare

    compare(study, run)
