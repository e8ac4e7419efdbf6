from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.compare.outcome import read_outcome
from autointerp.compare.stage import compare
from autointerp.errors import BadInput
from autointerp.judge.interface import NO_CONTEXT, Case, ComputedJudge, Judgement, Promoted, Tools
from autointerp.judge.promoted_tokens import PromotedLiteral, PromotedTokens
from autointerp.judge.registry import open_judges
from autointerp.judge.stage import judge
from autointerp.judge.tokens import NO_FOILS, draw_tokens
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.llm.local.model import LocalModel
from autointerp.metrics.classification import classify
from autointerp.models import LoadedModel
from autointerp.prompting import load_prompt
from autointerp.records import Status, Unscored
from autointerp.report.judges import judges
from autointerp.score.stage import score
from autointerp.study import Study
from autointerp.tables import EFFECTS, read_table, write_table
from tests.fake_run import WORDS
from tests.injections import INJECTIONS
from tests.judge.doubles import SETTINGS, sparse_run
from tests.tiny import tiny_model, tiny_tokenizer

BANK = ("words such as height, state", "words of all kinds")
WATER = Promoted((" river", " rain", " sea"), ((" list", " width", " River"), (" words", "rain ")))
BOTH = ["promoted-tokens", "promoted-literal"]


def loaded() -> LoadedModel:
    return LoadedModel(tiny_model(), tiny_tokenizer(), "tiny", torch.device("cpu"))


def reading(model: Any, ledger: Any = None) -> PromotedTokens:
    return PromotedTokens(replace(SETTINGS, tools=Tools(model=model, bank=BANK, ledger=ledger)))


def judged(judge: ComputedJudge, explanation: str, promoted: Promoted = WATER, seed: int = 0) -> list[Judgement]:
    found = judge.judge(Case(explanation, (), promoted), np.random.default_rng(seed))
    assert isinstance(found, list)
    return found


def auroc(found: Sequence[Judgement]) -> float:
    values = [j.probability for j in found if not isinstance(j.probability, Unscored)]
    answer = classify("auroc", np.array([j.item.truth for j in found]), np.array(values))
    assert isinstance(answer, float)
    return answer


class Believes:
    """Expects the words that stand in the text before, and all others alike."""

    identity = "believes"

    def __init__(self) -> None:
        words = [f" {word}" for word in (*WORDS, "river", "rain", "sea", "width", "words", "kings")]
        self.tokenizer: Any = tiny_tokenizer().train_new_from_iterator(words * 3, vocab_size=900)
        self.read: list[str] = []

    def next_token_logprobs(self, texts: Sequence[str]) -> Iterator[Float[Tensor, "prompt vocabulary"]]:
        self.read += texts
        words = [self.tokenizer.decode([i]).strip() for i in range(len(self.tokenizer))]
        for text in texts:
            row = torch.tensor([3.0 if f" {word}," in f" {text}," else 0.0 for word in words])
            yield torch.log_softmax(row, dim=0)[None]


def test_half_is_promoted_and_no_foil_is_promoted_in_another_spelling() -> None:
    drawn = draw_tokens(Case("e", (), WATER), np.random.default_rng(0))
    assert isinstance(drawn, list)
    assert [truth for _, truth in drawn] == [True] * 3 + [False] * 3
    assert tuple(token for token, truth in drawn if truth) == WATER.own
    assert {token for token, truth in drawn if not truth} == {" list", " width", " words"}
    controls = Promoted((*WATER.own, "\x14"), (*WATER.others, ("\x16", "\x16")))
    assert draw_tokens(Case("e", (), controls), np.random.default_rng(0)) == drawn
    assert draw_tokens(Case("another's", (), WATER), np.random.default_rng(0)) == drawn, "the explanation tells nothing"
    few = Promoted(WATER.own, ((" list",), ("RAIN",)))
    assert draw_tokens(Case("e", (), few), np.random.default_rng(0)) == NO_FOILS
    two = draw_tokens(Case("e", (), replace(few, others=((" list", " width"),))), np.random.default_rng(0))
    assert isinstance(two, list)
    assert [truth for _, truth in two] == [True, True, False, False], "as many of either kind"


def test_nothing_about_a_token_tells_a_promoted_one_from_a_foil() -> None:
    """Some tokens are promoted by most units, some by one: no fixed order of tokens wins, nor how common they are."""
    rng = rng_of("tells")
    liked = rng.pareto(1.5, size=300) + 0.02
    drawn_by = [rng.choice(300, size=10, replace=False, p=liked / liked.sum()) for _ in range(60)]
    units = [tuple(f"t{i}" for i in tokens) for tokens in drawn_by]
    often = Counter(token for unit in units for token in unit)
    orders = [often, *(dict(zip(often, rng.permutation(len(often)), strict=True)) for _ in range(5))]
    won, anywhere, judged_tokens = np.zeros((len(orders), len(units))), [], 0
    for number, unit in enumerate(units):
        others = tuple(other for place, other in enumerate(units) if place != number)
        drawn = draw_tokens(Case("e", (), Promoted(unit, others)), rng_of("tells", number))
        assert isinstance(drawn, list)
        judged_tokens += len(drawn) // 2
        for row, order in enumerate(orders):
            won[row, number] = won_by(order, drawn)
        uniform = [token for token in rng.permutation(list(often)) if token not in unit][: len(unit)]
        anywhere.append(won_by(often, [*((token, True) for token in unit), *((token, False) for token in uniform)]))
    assert max(often.values()) > len(units) / 2
    assert judged_tokens > 0.9 * 10 * len(units)
    assert won[0].mean() == pytest.approx(0.5, abs=0.02)
    assert won[1:].mean(axis=1) == pytest.approx(0.5, abs=0.08)
    assert np.mean(anywhere) > 0.7, "foils drawn from the vocabulary would tell"


def won_by(order: Mapping[str, int], drawn: Sequence[tuple[str, bool]]) -> float:
    answer = classify("auroc", np.array([t for _, t in drawn]), np.array([float(order[token]) for token, _ in drawn]))
    assert isinstance(answer, float)
    return answer


def test_an_explanation_that_names_the_promoted_tokens_scores_one_and_another_chance() -> None:
    both: tuple[ComputedJudge, ...] = (reading(Believes()), PromotedLiteral(SETTINGS))
    for reader, seed in product(both, range(3)):
        assert auroc(judged(reader, "words such as river, rain, sea", seed=seed)) == 1.0
        assert auroc(judged(reader, "words such as kings, city", seed=seed)) == 0.5
        assert auroc(judged(reader, "words such as list, width, words", seed=seed)) == 0.0


def test_it_is_the_gain_over_unrelated_explanations_of_whole_forward_passes() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    prompt = load_prompt("promoted-tokens/v1")

    def logprobs(explanation: str) -> Tensor:
        ((_, text),) = prompt.render(explanation=explanation)
        ids = tokenizer(text.strip())["input_ids"]
        with torch.no_grad():
            return torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], dim=0)

    gains = logprobs("words for water") - torch.stack([logprobs(text) for text in BANK]).mean(dim=0)
    found = judged(reading(LocalModel(loaded(), 2)), "words for water")
    assert [j.item.context for j in found] == [NO_CONTEXT] * 6
    for judgement in found:
        first = tokenizer(judgement.item.token, add_special_tokens=False)["input_ids"][0]
        assert judgement.probability == pytest.approx(1 / (1 + exp(-float(gains[first]))), abs=1e-5)


def test_what_was_computed_is_served_from_the_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        local = LocalModel(loaded(), 2)
        first = judged(reading(local, ledger), "words for water")
        replay = ReplayModel(tiny_tokenizer(), local.identity)
        assert judged(reading(replay, ledger), "words for water") == first
        with pytest.raises(BadInput, match="the ledger lacks log-probabilities"):
            judged(reading(replay, ledger), "something else")


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_explanation_is_more_than_a_line_of_text(text: str) -> None:
    model = Believes()
    judged(reading(model), text)
    assert len({text.count("\n") for text in model.read}) == 1
    assert all(read.startswith("A text with ") for read in model.read)


def test_an_empty_explanation_and_a_chat_have_their_reasons() -> None:
    found = reading(Believes()).judge(Case(" . ", (), WATER), np.random.default_rng(0))
    assert found == Unscored("empty explanation")
    with pytest.raises(BadInput, match="prompt 'detection/v1' has form 'chat': judge 'promoted-tokens' needs a compl"):
        PromotedTokens(replace(SETTINGS, prompt="detection/v1"))


def promoting_run(folder: Path, explain: dict[str, Any] | None = None) -> Study:
    """Features promote what their explanations name, but one; of neurons this holds for another unit's explanation."""
    study = sparse_run(folder, methods=BOTH, derangements=2)
    told = read_table(folder / "explanations.parquet")
    rows = []
    for arm, of_arm in told.groupby("arm", sort=False):
        texts = of_arm["text"].tolist()
        for place, unit in enumerate(of_arm["unit"]):
            text = texts[place] if arm == "feature" else texts[(place + 1) % len(texts)]
            named = [word for word in text.removeprefix("words such as ").split(", ") if word]
            tokens = tuple(f" {word}" for word in named or WORDS[:6])
            none = unit == "feature/3"
            rows.append({"unit": unit, "promoted": () if none else tokens, "suppressed": (),
                         "status": (Status.UNSCORED if none else Status.OK).value,
                         "reason": "no way to the output" if none else ""})  # fmt: skip
    (folder / "work").mkdir()
    write_table("effects", folder / EFFECTS, rows)
    written = told["explainer"].to_numpy(dtype=object, copy=True)
    written[told["unit"] == "feature/5"] = "max-act-logits"
    write_table("explanations", folder / "explanations.parquet", told.assign(explainer=written).to_dict("records"))
    return study


@pytest.fixture(scope="module")
def promoting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promoting")
    study = promoting_run(folder)
    tools = Tools(model=Believes(), bank=BANK)
    judge(study, open_judges(study, study.judge.methods, None, tools), None, folder)
    score(study, folder)
    compare(study, folder)
    return folder


def test_a_run_tells_units_whose_explanations_name_what_they_promote(promoting: Path) -> None:
    scores = read_table(promoting / "scores.parquet").query("slice == 'judged'")
    assert set(scores["metric"]) == {"auroc"}
    assert set(scores["chance"]) == {0.5}
    for name in BOTH:
        own = scores.query("scorer == @name and pairing == 'own' and status == 'ok'").groupby("arm")["value"]
        assert own.mean()["feature"] > 0.9, name
        assert own.mean()["neuron"] < 0.6, name
    compared = read_table(promoting / "comparison.parquet").query("slice == 'judged' and stratum == 'all'")
    against = compared.query("arm == 'feature' and baseline == 'neuron'").set_index("scorer")
    literally = compared.query("baseline == 'literal'")
    assert set(literally["scorer"]) == {"promoted-tokens"}
    assert literally["difference"].abs().max() < 0.1, "what believes the words that it reads adds nothing to them"
    assert (against["difference_low"] > 0.2).all()


def test_what_has_no_output_direction_and_what_is_circular_is_counted(promoting: Path) -> None:
    own = read_table(promoting / "scores.parquet").query("slice == 'judged' and pairing == 'own'")
    reasons = own[own["status"] != "ok"].groupby("unit")["reason"].first().to_dict()
    assert reasons == {
        "feature/3": "no way to the output",
        "feature/5": "circular: explainer 'max-act-logits' is shown the tokens that the unit promotes",
        "neuron/1+": "no explanation: no word among its top tokens",
    }
    table = read_table(promoting / "judgements.parquet")
    told = table[(table["explanation_of"] == "feature/5") & (table["unit"] != "feature/3")]
    assert told["reason"].str.startswith("circular").all()


def test_all_pairings_and_both_judges_get_the_same_tokens_and_no_context(promoting: Path) -> None:
    table = read_table(promoting / "judgements.parquet").query("status == 'ok'")
    assert table["context"].isna().all()
    assert (table["token"] != "").all()
    for _, of_unit in table.groupby("unit"):
        assert len({tuple(rows["token"]) for _, rows in of_unit.groupby(["judge", "derangement"])}) == 1


def test_the_report_has_both_with_what_they_are(promoting: Path) -> None:
    text = judges(read_outcome(promoting))
    assert "`promoted-literal` " in text
    for name in BOTH:
        section = text[text.index(f"#### `{name}`") :].partition("\n#")[0]
        assert "| auroc | SAE features | circular: explainer" in section
        assert "| auroc | SAE features minus neurons |" in section
        assert ("| auroc | SAE features minus the same read literally |" in section) == (name == "promoted-tokens")
