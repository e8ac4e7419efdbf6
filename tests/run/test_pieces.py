from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.errors import BadInput
from autointerp.explain.ranking import Ranked, rank
from autointerp.explain.stage import filled_up
from autointerp.llm.open import Mode
from autointerp.llm.questions import InOrder, ask_all
from autointerp.llm.request import Response
from autointerp.progress import Bar
from autointerp.records import Candidate, Context, Exemplar, Scale, Simulation, Split, Unscored
from autointerp.run.manifest import read_manifest
from autointerp.run.plan import Stage, execute
from autointerp.run.resources import Resources
from autointerp.simulate.interface import Task
from autointerp.units.interface import base_id
from autointerp.units.sampling import unit_id
from tests.llm.doubles import EchoAsker, completion
from tests.small import small_study


def _candidate(text: str) -> Candidate:
    return Candidate(text, "exemplars")


def test_failures_are_replaced_by_unused_spares_until_the_number_is_the_same() -> None:
    failed = Unscored("the phrase is too long")
    got = filled_up(
        [_candidate("a"), failed, failed], [_candidate("a"), _candidate("b"), _candidate("c"), _candidate("d")], 3
    )
    assert got == [_candidate("a"), _candidate("b"), _candidate("c")]
    assert filled_up([_candidate("a"), failed], [_candidate("a")], 2) == [_candidate("a"), failed]
    assert filled_up([failed], [], 1) == [failed]


def test_equal_requests_are_asked_once_shortest_first() -> None:
    asker = EchoAsker(lambda r: Response(r.messages[0][1].upper(), 1, 1))
    texts = ["long text", "b", "a", "b"]
    answers = ask_all(InOrder(asker), [completion(t) for t in texts], Bar())
    assert [a.text for a in answers if isinstance(a, Response)] == [t.upper() for t in texts]
    assert [r.messages[0][1] for r in asker.seen] == ["a", "b", "long text"]


class Knows:
    """A simulator that predicts 1 on every token whose piece is named in the explanation."""

    name, scale = "knows", Scale.OWN

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place in reversed(range(len(tasks))):
            progress.advance()
            if tasks[place].explanation == "broken":
                yield place, Unscored("no answer")
                continue
            rows = [[float(p in tasks[place].explanation) for p in c.pieces] for c in tasks[place].contexts]
            yield place, Simulation(np.array(rows, dtype=np.float32), self.scale)


def test_ranking_scores_each_candidate_on_its_own_evidence() -> None:
    contexts = {
        n: Context(n, Split.EVIDENCE, n, "s", 0, np.arange(3), pieces)
        for n, pieces in enumerate([("cat", "dog", "the"), ("sun", "cat", "sea")])
    }
    truth = [np.array(v, dtype=np.float32) for v in ([3, 0, 0], [0, 2, 0])]
    rows = [Exemplar("u", 0, n, "top", 1.0, v) for n, v in enumerate(truth)]
    ranked = [
        Ranked("feature/1", [_candidate("cat"), _candidate("dog"), Unscored("cut"), _candidate("broken")], rows),
        Ranked("feature/2", [_candidate("cat")], []),
    ]
    scores = rank(Knows(), ranked, contexts)
    pooled = np.concatenate(truth)
    assert scores[0][0] == pytest.approx(np.corrcoef(pooled, [1, 0, 0, 0, 1, 0])[0, 1])
    assert scores[0][1] == pytest.approx(np.corrcoef(pooled, [0, 1, 0, 0, 0, 0])[0, 1])
    assert scores[0][2:] == [Unscored("cut"), Unscored("no answer")]
    assert scores[1] == [Unscored("no evidence to rank it on")]


def test_stages_run_once_and_again_when_their_inputs_change(tmp_path: Path) -> None:
    ran: list[str] = []

    def stage(name: str, reads: tuple[str, ...], text: str, settings: int) -> Stage:
        def work() -> None:
            ran.append(name)
            (tmp_path / name).write_text(text)

        return Stage(name, reads, settings, (name,), (), work)

    def plan(first: str, settings: int = 0) -> list[Stage]:
        return [stage("a", (), first, settings), stage("b", ("a",), "b", 0), stage("c", ("b",), "c", 0)]

    assert execute(tmp_path, plan("1"), {}) == ["a", "b", "c"]
    assert execute(tmp_path, plan("1"), {}) == []
    assert execute(tmp_path, plan("2", settings=1), {}) == ["a", "b"], "c reads b, whose bytes are the same"
    (tmp_path / "b").unlink()
    assert execute(tmp_path, plan("2", settings=1), {}) == ["b"]
    assert set(read_manifest(tmp_path)) == {"a", "b", "c"}
    with pytest.raises(BadInput, match="stage 'c' needs b"):
        execute(tmp_path, plan("2")[2:], {})


def test_a_stage_with_unanswered_requests_is_done_and_not_up_to_date(tmp_path: Path) -> None:
    ran: list[str] = []
    lost = 0

    def ask() -> None:
        nonlocal lost
        ran.append("a")
        lost += 3 if len(ran) == 1 else 0
        (tmp_path / "a").write_text(f"answers {len(ran)}")

    def use() -> None:
        ran.append("b")
        (tmp_path / "b").write_text((tmp_path / "a").read_text())

    plan = [Stage("a", (), 0, ("a",), (), ask), Stage("b", ("a",), 0, ("b",), (), use)]
    assert execute(tmp_path, plan, {}, unanswered=lambda: lost) == ["a", "b"]
    assert execute(tmp_path, plan, {}, unanswered=lambda: lost) == ["a", "b"]
    assert (tmp_path / "b").read_text() == "answers 3"
    assert execute(tmp_path, plan, {}, unanswered=lambda: lost) == []
    assert execute(tmp_path, plan, {}, again=frozenset(("b",))) == ["b"]


def test_unit_ids() -> None:
    assert unit_id("feature", 1234, 1, False) == "feature/1234"
    assert unit_id("neuron", 17, -1, True) == "neuron/17-"
    assert unit_id("neuron-sparse", 17, 1, True) == "neuron-sparse/17+"
    assert unit_id("direction", 3, 1, False) == "direction/3"
    assert base_id("neuron/17-") == base_id("neuron/17+") == "neuron/17"


def test_models_that_are_asked_run_on_the_subjects_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a GPU is there that the study does not want."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    study = small_study(tmp_path, "subject.device=cpu")
    resources = Resources(study, tmp_path, Mode())
    with resources.asker("explainer", "explain") as asker:
        answers = ask_all(InOrder(asker), [completion("The sea", max_tokens=2, beginning=True)], Bar())
    assert isinstance(answers[0], Response)
    resources.close()
