from __future__ import annotations

from collections.abc import Iterator

from autointerp.llm.questions import read_each
from autointerp.llm.request import Answer, Failure, Question, Request, Response, Unreadable
from autointerp.records import Unscored
from tests.llm.doubles import Counter, EchoAsker, request


def _digit(response: Response) -> int | Unscored | Unreadable:
    if response.text == "pass":
        return Unscored("no opinion")
    return int(response.text) if response.text.isdigit() else Unreadable("no digit")


def _ask(
    texts: list[str], script: dict[str, list[Answer]], reasks: int
) -> tuple[dict[int, int | Unscored], list[Request]]:
    asker = EchoAsker(lambda r: script[r.messages[0][1]][r.reask], reasks=reasks)
    bar = Counter()
    found = dict(read_each(asker, (Question(request(t), _digit) for t in texts), bar))
    assert bar.done == len(texts)
    return found, asker.seen


def _says(text: str) -> Response:
    return Response(text, 1, 1)


CUT = Failure("the answer was cut at max_tokens", "length")


def test_what_cannot_be_read_is_asked_again_with_another_draw() -> None:
    script: dict[str, list[Answer]] = {
        "good": [_says("3")],
        "late": [_says("hm"), _says("4")],
        "cut": [CUT, CUT, _says("5")],
        "never": [_says("hm"), _says("hm"), _says("hm")],
    }
    found, seen = _ask(list(script), script, reasks=2)
    assert found == {0: 3, 1: 4, 2: 5, 3: Unscored("no digit")}
    assert [(r.messages[0][1], r.reask) for r in seen] == [
        ("good", 0), ("late", 0), ("cut", 0), ("never", 0), ("late", 1), ("cut", 1), ("never", 1), ("cut", 2),
        ("never", 2),
    ]  # fmt: skip
    assert len({r.draw_seed for r in seen if r.messages[0][1] == "never"}) == 3
    assert [r.temperature for r in seen if r.messages[0][1] == "never"] == [0.0, 0.3, 0.3]


def test_a_refusal_an_opinion_and_an_endpoint_that_is_down_are_final() -> None:
    script: dict[str, list[Answer]] = {
        "refused": [Failure("the model refused", "refusal")],
        "pass": [_says("pass")],
        "down": [Failure("no connection (10 tries)")],
        "long": [Failure("the prompt does not fit into the model's context", "too-long")],
    }
    found, seen = _ask(list(script), script, reasks=2)
    assert [found[i] for i in range(4)] == [
        Unscored("the model refused"), Unscored("no opinion"), Unscored("no connection (10 tries)"),
        Unscored("the prompt does not fit into the model's context"),
    ]  # fmt: skip
    assert len(seen) == 4


def test_without_reasks_the_reason_is_that_of_the_first_answer() -> None:
    found, seen = _ask(["cut", "hm"], {"cut": [CUT], "hm": [_says("hm")]}, reasks=0)
    assert found == {0: Unscored("the answer was cut at max_tokens"), 1: Unscored("no digit")}
    assert len(seen) == 2


def test_questions_are_made_as_they_are_needed_and_forgotten() -> None:
    made = 0

    def questions() -> Iterator[Question[int | Unscored]]:
        nonlocal made
        for i in range(100):
            made += 1
            yield Question(request(str(i)), _digit)

    asker = EchoAsker(lambda r: _says(r.messages[0][1]))
    for number, (place, value) in enumerate(read_each(asker, questions(), Counter())):
        assert place == value == number
        assert made == number + 1


def test_what_could_not_be_used_is_kept_beside_the_reason() -> None:
    script: dict[str, list[Answer]] = {
        "never": [_says("hm"), _says("I would say \ud800 " + "x" * 3000)],
        "cut": [CUT, Failure("the answer was cut at max_tokens", "length", "half of")],
        "refused": [Failure("the model refused", "refusal", "I can't <b>")],
        "down": [Failure("no connection (10 tries)")],
        "good": [_says("3")],
    }
    found, _ = _ask(list(script), script, reasks=1)
    kept = [each.answer if isinstance(each, Unscored) else None for _, each in sorted(found.items())]
    assert kept[0] is not None
    assert kept[0].startswith("I would say ? xxx")
    assert len(kept[0]) == 2000
    assert kept[1:] == ["half of", "I can't <b>", "", None]
