"""Behind the same interfaces: who knows the truth is told from who guesses, by every simulator and judge there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from autointerp.benchmark_rows import BenchmarkRow
from autointerp.judge.interface import JudgeSettings, Tools
from autointerp.judge.registry import JUDGES, open_judge, traits_of
from autointerp.llm.capabilities import Capabilities
from autointerp.metrics.intervals import Resampling
from autointerp.planted.bounds import CHANCE, Standing
from autointerp.planted.findings import verdict
from autointerp.planted.finished import Measured
from autointerp.planted.meanings import DESCRIPTION, FORMS, NEAR_MISS, OTHER, WORD_LIST
from autointerp.planted.methods import Form, Method, methods
from autointerp.planted.pairings import EVERY, PlantedPairing, pairings_of
from autointerp.planted.results import grouped
from autointerp.planted.scoring import judged, looked_up, ruled, simulated
from autointerp.planted.sight import Sight, sight
from autointerp.planted.statistics import AGAINST_NOISE, SEEN, Cost, rows_of
from autointerp.progress import Bar
from autointerp.records import Unscored
from autointerp.simulate.registry import Parts, builder, that_work
from autointerp.study_models import Llm
from tests.llm.doubles import EchoAsker
from tests.planted.made import made_units
from tests.planted.readers import Answers, Guessing, Knowing, Model, Reader, Sentences

IN_PROCESS, BY_MEANING = "in process", "by meaning"
INTERFACES: dict[str, Callable[[Answers], Any] | str] = {
    "reader": IN_PROCESS,
    "lift": IN_PROCESS,
    "lift-next": IN_PROCESS,
    "lift-in-context": IN_PROCESS,
    "digits": IN_PROCESS,
    "digits-output": lambda answers: answers.digits,
    "sparse-json": lambda answers: answers.sparse,
    "sparse-words": lambda answers: answers.words,
    "one-by-one": lambda answers: answers.one,
    "anthropic-batch": lambda answers: answers.lines,
    "embedding": BY_MEANING,
    "detection": lambda answers: answers.detection,
    "fuzzing": lambda answers: answers.fuzzing,
    "intruder": lambda answers: answers.intruder,
    "saebench": lambda answers: answers.numbers,
    "surprisal": IN_PROCESS,
    "embedding-judge": BY_MEANING,
}
"""What stands behind each method in these tests; a method that is not in here fails them."""
PLAN = Resampling(1000, 0.999)
"""One test per method: an interval of 95% would miss chance for one of twenty that guess."""


def _pairings(method: Method) -> list[PlantedPairing]:
    """All in one half: intervals over six units would be too narrow."""
    units = made_units(before=method.name == "lift-next")
    return pairings_of([replace(unit, test=True) for unit in units], method.explained, method.portion(EVERY))


def _scores(method: Method, reader: Reader) -> list[float | Unscored]:
    """All scores of a method behind whose interface a reader stands."""
    pairings = _pairings(method)
    if method.form is Form.TOKEN_TABLE:
        return looked_up(pairings, Bar())
    if method.form is Form.RULE:
        return ruled(pairings, Bar())
    behind = INTERFACES.get(method.name)  # nothing behind what matches words
    asker = EchoAsker(behind(Answers(reader))) if callable(behind) else None
    model = Model(reader) if behind == IN_PROCESS else None
    sentences = Sentences(reader) if behind == BY_MEANING else None
    capabilities = Capabilities("e", "m", top_logprobs=20)
    if method.form is Form.SIMULATOR:
        bank = [f"words such as {reader}" for reader in ("none", "some")]
        parts = Parts(model, asker, Llm(), capabilities, bank, 8, True, None, 0, None, sentences)
        return simulated(builder(method.registered)(parts), pairings, Bar())
    settings = JudgeSettings(Llm(), 10, 0, capabilities=capabilities, tools=Tools(model, asker, sentences))
    return judged(open_judge(method.registered, settings), asker, pairings, 0, Bar())


def _rows(method: Method, reader: Reader) -> dict[tuple[str, ...], BenchmarkRow]:
    measured = Measured(method.name, method.portion(EVERY), tuple(_scores(method, reader)), Cost(1.0, 1.0))
    (scores,) = grouped(list(measured.rows(_pairings(method))))
    return {(row.kind, row.form, row.wrong): row for row in rows_of(scores, measured.cost, PLAN, 0)}


def _built_in() -> list[Method]:
    """Without those of other packages that may be installed."""
    everything = Capabilities("e", "m", top_logprobs=20, prompt_logprobs=20, whole_distribution=True)
    own = {*that_work(everything), *JUDGES.built_in, "lookup"}
    return [method for method in methods() if method.registered in own]


def _named(explained: bool) -> list[Any]:
    return [pytest.param(m, id=m.name) for m in _built_in() if m.explained == explained]


def test_every_built_in_method_has_something_behind_it() -> None:
    assert {*INTERFACES, "lookup"} == {method.name for method in _built_in()}
    assert not traits_of("intruder").needs_explanation


@pytest.mark.parametrize("method", _named(explained=True))
def test_who_knows_is_told(method: Method) -> None:
    rows = _rows(method, Knowing())
    for form, wrong in product(FORMS, (OTHER, NEAR_MISS)):
        kind = "before" if method.name == "lift-next" else "single-word"
        seen = SEEN if sight(method.name, kind, form) is Sight.SEEN else kind  # of a list it sees a part
        row = rows[seen, form, wrong]
        assert (row.coverage, row.n) == (1, 12)
        assert row.auroc is not None
        assert row.auroc >= 0.99, (form, wrong)
        assert verdict(row) is Standing.ABOVE


@pytest.mark.parametrize("method", _named(explained=True))
def test_who_guesses_is_at_chance(method: Method) -> None:
    rows = _rows(method, Guessing())
    forms = (DESCRIPTION,) if method.name == "reader" else FORMS  # of a list it reads the words, whoever stands behind
    for form, wrong in product(forms, (OTHER, NEAR_MISS)):
        kind = "before" if method.name == "lift-next" else "single-word"
        seen = SEEN if sight(method.name, kind, form) is Sight.SEEN else kind  # of a list it sees a part
        assert _holds_chance(rows[seen, form, wrong]), (form, wrong)


def test_the_ideal_reader_and_string_matching_tell_what_their_lists_name() -> None:
    """No model stands behind them: the rule itself, and the words of the explanation."""
    (ideal, *literal) = [m for m in methods() if m.name in ("ideal", "literal", "literal-words")]
    for method, form in ((ideal, DESCRIPTION), *((m, WORD_LIST) for m in literal)):
        rows = _rows(method, Knowing())
        for wrong in (OTHER, NEAR_MISS):
            row = rows[SEEN, form, wrong]
            assert row.auroc == 1
            assert row.low == pytest.approx(0.0005 ** (1 / 12))


@pytest.mark.parametrize("method", _named(explained=False))
def test_what_reads_no_explanation_tells_meaning_from_noise(method: Method) -> None:
    rows = _rows(method, Knowing())
    assert set(rows) == {(kind, "", AGAINST_NOISE) for kind in (SEEN, "single-word")}
    row = rows[SEEN, "", AGAINST_NOISE]
    assert row.auroc is not None
    assert row.auroc >= (0.99 if method.name == "lookup" else 0.9)  # two themes may look alike by chance
    assert row.null_mean is not None
    assert row.null_mean < 0.8


def test_an_intruder_is_guessed_at_chance() -> None:
    (method,) = (m for m in methods() if m.name == "intruder")
    assert _holds_chance(_rows(method, Guessing())[SEEN, "", AGAINST_NOISE])


def _holds_chance(row: BenchmarkRow) -> bool:
    assert row.low is not None
    assert row.high is not None
    return row.low <= CHANCE <= row.high
