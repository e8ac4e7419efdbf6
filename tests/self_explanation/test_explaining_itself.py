"""The verb, with a played model that truly decides by some words: is honesty told from a lie, and what is kept?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from autointerp.__main__ import main
from autointerp.cli.self_explaining import self_explain as self_explain_verb
from autointerp.errors import BadInput
from autointerp.self_explanation.account_findings import findings
from autointerp.self_explanation.account_folder import AccountResults, read_accounts
from autointerp.self_explanation.account_measures import (
    AGREEMENT,
    COMPREHENSIVENESS,
    DELETION_RANK,
    FLIP_BY_FIRST,
    SUFFICIENCY,
)
from autointerp.self_explanation.explaining_itself import AccountChoice, estimated, self_explain
from autointerp.self_explanation.faithfulness_tables import ACCURACY, BRIER, PREDICT, SAME_LABEL
from autointerp.self_explanation.own_accounts import EXPLAIN_FIRST, ORDERS, PREDICT_FIRST
from autointerp.self_explanation.review_templates import HALVES
from autointerp.self_explanation.review_words import words_of
from autointerp.self_explanation.reviews import generated, read_reviews
from autointerp.self_explanation.rival_accounts import LIME, OCCLUSION, PLANTED, RANDOM
from autointerp.self_explanation_rows import FaithfulnessSummaryRow
from autointerp.study_file import load_study
from tests.injections import INJECTIONS
from tests.llm.doubles import Reply, chat, serve
from tests.self_explanation.doubles import WEIGHTS, PlayedModel, study_file
from tests.tiny import tiny_folder

KEY = "sk-of-the-played-model-123"
EIGHT = AccountChoice(limit=8, lime_draws=24)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setenv("KEY_OF_THE_PLAYED", KEY)


def _explained(folder: Path, played: PlayedModel, choice: AccountChoice = EIGHT) -> AccountResults:
    with serve(behave=played.behave) as server:
        study = load_study(study_file(folder, server.url))
        return self_explain(study, "chat", choice, folder / "out")


def _is_review(body: dict[str, Any]) -> bool:
    return "Review: " in str(body.get("messages", [{}])[-1])


def _row(results: AccountResults, method: str, measure: str, other: str = "") -> FaithfulnessSummaryRow:
    row = results.row(method, measure, other)
    assert row is not None
    return row


def test_an_honest_account_is_as_faithful_as_occlusion_and_surely_better_than_a_random_one(tmp_path: Path) -> None:
    results = _explained(tmp_path, PlayedModel())
    for order in ORDERS:
        against_random = _row(results, order, COMPREHENSIVENESS, RANDOM)
        assert against_random.low is not None
        assert against_random.low > 0
        against_occlusion = _row(results, order, COMPREHENSIVENESS, OCCLUSION).value
        assert against_occlusion is not None
        assert against_occlusion > -0.02
        assert _row(results, order, SUFFICIENCY, RANDOM).high < 0  # type: ignore[operator]
        assert _row(results, order, AGREEMENT, OCCLUSION).value > 0.9  # type: ignore[operator]
        assert _row(results, order, SAME_LABEL, PREDICT).value == 1
    assert _row(results, LIME, COMPREHENSIVENESS, RANDOM).value > 0  # type: ignore[operator]
    assert _row(results, EXPLAIN_FIRST, FLIP_BY_FIRST).value >= _row(results, RANDOM, FLIP_BY_FIRST).value  # type: ignore[operator]
    alone = [row for row in results.accounts if row.method == PREDICT]
    right = np.mean([row.label == row.truth for row in alone])
    accuracy = _row(results, PREDICT, ACCURACY)
    assert (accuracy.value, accuracy.null, accuracy.n) == (float(right), 0.5, 8)
    missed = [((row.confidence if row.label == "positive" else 1 - row.confidence) - (row.truth == "positive")) ** 2
              for row in alone if row.confidence is not None]  # fmt: skip
    assert _row(results, PREDICT, BRIER).value == pytest.approx(np.mean(missed))


def test_an_account_that_lies_is_no_better_than_a_random_one(tmp_path: Path) -> None:
    results = _explained(tmp_path, PlayedModel(honest=False))
    for order in ORDERS:
        against_occlusion = _row(results, order, COMPREHENSIVENESS, OCCLUSION)
        assert against_occlusion.high is not None
        assert against_occlusion.high < 0
        against_random = _row(results, order, COMPREHENSIVENESS, RANDOM)
        assert against_random.high is not None
        assert against_random.value is not None
        assert against_random.value < 0
        assert against_random.high < 0.05
        assert _row(results, order, AGREEMENT, OCCLUSION).value < 0  # type: ignore[operator]
    assert "the account is worse" in (tmp_path / "out" / "report.md").read_text("utf8")


def test_every_measure_is_what_a_plain_loop_makes_of_the_played_model(tmp_path: Path) -> None:
    results = _explained(tmp_path, PlayedModel(logprobs=True), AccountChoice((PREDICT_FIRST,), 6, lime_draws=8))
    assert results.about.logprobs, "read off log-probabilities, which the probe found"

    def probability(words: list[str], label: str) -> float:
        logit = sum(WEIGHTS.get(word, 0.0) for word in words)
        return float(1 / (1 + np.exp(-logit if label == "positive" else logit)))

    rows = {(row.review, row.method): row for row in results.accounts}
    found = {(row.review, row.method, row.other, row.measure): row.value for row in results.measured}
    for review in range(6):
        label = rows[review, PREDICT].label
        assert label is not None
        words = list(rows[review, OCCLUSION].words)
        n, sign = len(words), 1 if label == "positive" else -1
        whole = probability(words, label)
        dropped = [whole - probability(words[:i] + words[i + 1 :], label) for i in range(n)]
        assert np.allclose(np.multiply(rows[review, OCCLUSION].importances, sign), dropped, atol=1e-4)
        said = np.multiply(rows[review, PREDICT_FIRST].importances, sign)
        tau = kendalltau(said, dropped).statistic
        assert found[review, PREDICT_FIRST, OCCLUSION, AGREEMENT] == pytest.approx(tau, abs=1e-6)
        decisive = [i for i in np.argsort(-said) if WEIGHTS.get(words[i])]
        if len(decisive) == 1:  # no ties among what matters: one order alone
            (top,) = decisive
            loss = whole - 0.5
            assert found[review, PREDICT_FIRST, "", COMPREHENSIVENESS] == pytest.approx(loss, abs=1e-4)
            assert found[review, PREDICT_FIRST, "", SUFFICIENCY] == pytest.approx(0, abs=1e-4)
            assert rows[review, PREDICT_FIRST].decisive == (top,)


def test_the_same_call_asks_nothing_again_no_key_is_kept_and_tables_alone_make_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["autointerp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert ended.value.code == 0, error
        return out

    played, words = PlayedModel(), tiny_folder(tmp_path)
    with serve(behave=played.behave) as server:
        study = str(study_file(tmp_path, server.url, input_usd="1.0", output_usd="2.0", tokenizer=f"'{words}'"))
        verb = ["self-explain", study, "--llm", "chat", "--limit", "2", "--lime-draws", "4", "--out", "out"]
        line = call(*verb, "--estimate").splitlines()[1]
        assert played.asked == 0
        said = call(*verb)
        told = int(line.split("about ")[1].split()[0].replace(",", ""))
        assert 0.5 * told < sum(map(_is_review, server.seen)) < 1.5 * told
        assert "$" in line
        asked = played.asked
        assert call(*verb) == said
        assert played.asked == asked, "the ledger answers"
        assert all(body["authorization"] == f"Bearer {KEY}" for body in server.seen)
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not any(KEY.encode() in path.read_bytes() for path in files)
    assert call(*verb, "--replay") == said
    page, picture = tmp_path / "out" / "report.md", tmp_path / "out" / "figures" / "self-explanation.png"
    before = page.read_bytes(), picture.read_bytes()
    for path in (page, picture, tmp_path / "out" / "ledger.sqlite"):
        path.unlink()
    call("report", "out")
    call("plot", "out")
    assert (page.read_bytes(), picture.read_bytes()) == before


def test_answers_that_say_nothing_are_counted_and_never_zero(tmp_path: Path) -> None:
    """About every third account is prose, however often it is asked for."""
    played = PlayedModel()

    def behave(body: dict[str, Any]) -> Reply:
        text = str(body.get("messages"))
        if "list of its words" in text and sum(map(ord, text)) % 3 == 0:
            return chat("I would rather not say.")
        return played.behave(body)

    with serve(behave=behave) as server:
        study = load_study(study_file(tmp_path, server.url))
        results = self_explain(study, "chat", AccountChoice(limit=8, lime_draws=4), tmp_path / "out")
    failed = [row for row in results.accounts if row.method in ORDERS and row.status != "ok"]
    assert 0 < len(failed) < 16
    assert {row.reason for row in failed} == {"no JSON in the answer"}
    assert all(row.importances == () and row.answer == "I would rather not say." for row in failed)
    for order in ORDERS:
        of_order = sum(row.method == order for row in failed)
        row = _row(results, order, COMPREHENSIVENESS)
        assert (row.n, row.unscored) == (8 - of_order, of_order)
    assert "no JSON in the answer" in (tmp_path / "out" / "report.md").read_text("utf8")


def test_a_model_that_knows_nothing_is_told_as_no_better_than_chance_and_has_no_rank(tmp_path: Path) -> None:
    results = _explained(tmp_path, PlayedModel(weights={}), AccountChoice(limit=4, lime_draws=4))
    label, order = _row(results, PREDICT, ACCURACY), EXPLAIN_FIRST
    assert (label.value, label.null) == (0.5, 0.5)
    assert "no better than chance at the label itself" in "".join(findings(results))
    assert _row(results, order, COMPREHENSIVENESS).value == 0
    for method, why in ((order, "all words are equally important: no order"), (RANDOM, "no word changes")):
        ranked = _row(results, method, DELETION_RANK)
        assert (ranked.value, ranked.n, ranked.unscored) == (None, 0, 4)
        assert why in (tmp_path / "out" / "report.md").read_text("utf8")


def test_options_that_mean_nothing_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'explain-then-predict'"):
        self_explain_verb(tmp_path / "s.toml", "chat", orders=["explain-then-predicts"])
    with pytest.raises(BadInput, match="--development and --reviews together"):
        self_explain_verb(tmp_path / "s.toml", "chat", reviews=tmp_path / "r.csv", development=True)


def test_hostile_reviews_stay_data_in_prompts_and_on_the_page(tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl"
    rows = [
        {"text": f"great {text} <img src=x onerror=alert(1)> | bad", "label": n % 2}
        for n, text in enumerate(INJECTIONS)
    ]
    file.write_text("\n".join(json.dumps(row) for row in [*rows, {"text": "so-so film", "label": "mixed"}]), "utf8")
    played = PlayedModel()
    with serve(behave=played.behave) as server:
        study = load_study(study_file(tmp_path, server.url))
        results = self_explain(
            study, "chat", AccountChoice((EXPLAIN_FIRST,), 3, 3, file, lime_draws=4), tmp_path / "out"
        )
        sent = [body["messages"] for body in server.seen if _is_review(body)]
    assert all(len(messages) == 6 for messages in sent), "no review adds a turn"
    for messages in sent:
        lines = messages[-1]["content"].strip().splitlines()
        assert [line.split(":")[0].split('"')[0].strip() for line in lines] in (
            ["Review", "Words", "Answer"],
            ["Review", "Answer"],
        )
        assert not any(mark in messages[-1]["content"] for mark in ("<|im_end|>", "</s>", "[INST]"))
    page = (tmp_path / "out" / "report.md").read_text("utf8")
    assert "<img" not in page.replace(r"\<img", "")
    assert results.about.left_out == {"a label other than positive and negative": 1}
    assert not any(row.method == PLANTED for row in results.accounts), "nobody knows what decides"


def test_generated_reviews_are_balanced_and_their_halves_share_nothing() -> None:
    for half, parts in HALVES.items():
        made = generated(half, 28, 5)
        assert made == generated(half, 28, 5)
        assert made != generated(half, 28, 6)
        assert sum(review.positive for review in made.reviews) == 14
        assert {review.kind for review in made.reviews} == {"plain", "negated", "contrast"}
        for review in made.reviews:
            words = words_of(review.text)
            own = parts.positive if review.positive else parts.negative
            other = parts.negative if review.positive else parts.positive
            assert review.decisive is not None
            told = [words[place] for place in review.decisive]
            assert told[-1] in (other if review.kind == "negated" else own)
    first, second = (
        {*parts.positive, *parts.negative, *parts.nouns, *(template for _, template in parts.templates)}
        for parts in HALVES.values()
    )
    assert not first & second


def test_files_of_reviews_are_read_strictly(tmp_path: Path) -> None:
    table = tmp_path / "own.tsv"
    table.write_text("text\tlabel\nA fine film\tpos\nMeh\t0\n\t1\nDull and long\tNegative\n", encoding="utf8")
    found = read_reviews(table, 9, 0)
    assert [(review.text, review.positive) for review in found.reviews] == [
        ("A fine film", True),
        ("Dull and long", False),
    ]
    assert found.left_out == {"under 2 words": 1, "no text": 1}
    for text, problem in (("a,b\n1,2\n", "no review in"), ("text,label\n", "no review in")):
        other = tmp_path / "other.csv"
        other.write_text(text, encoding="utf8")
        with pytest.raises(BadInput, match=problem):
            read_reviews(other, 9, 0)
    with pytest.raises(BadInput, match="can't be read as reviews"):
        read_reviews(tmp_path / "none.csv", 9, 0)


def test_a_model_that_the_study_does_not_have_is_named(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, "http://127.0.0.1:9/v1"))
    for ask in (self_explain, estimated):
        with pytest.raises(BadInput, match=r"no section \[llm\.chatt\] in the study: did you mean 'chat'"):
            ask(study, "chatt", EIGHT, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.offline_model
def test_the_offline_model_answers_both_orders_and_is_asked_about_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOINTERP_CACHE")  # the model, converted once for all tests
    (tmp_path / "study.toml").write_text("[llm.chat]\nmodel = 'builtin'\nbatch = 16\n", encoding="utf8")
    study = load_study(tmp_path / "study.toml")
    short = tmp_path / "short.csv"
    short.write_text("text,label\nA great film,positive\nA dull film,negative\n", encoding="utf8")
    results = self_explain(study, "chat", AccountChoice(limit=2, file=short, lime_draws=4), tmp_path / "out")
    assert results.about.logprobs
    assert "SmolLM2-135M" in results.about.endpoint
    row = _row(results, OCCLUSION, COMPREHENSIVENESS)
    assert (row.n, row.unscored) == (2, 0)
    for order in ORDERS:
        scored = _row(results, order, COMPREHENSIVENESS)
        assert scored.n + scored.unscored == 2
    assert read_accounts(tmp_path / "out") == results
