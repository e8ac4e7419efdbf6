"""`promoted-tokens` and `promoted-literal`: can the explanation tell which tokens the unit's output direction promotes?

After the logit-weight task of "Towards Monosemanticity" (Bricken et al. 2023), where a large model is asked, for a
token, whether a feature of that description promotes it: half of the tokens are its own top ones, half drawn at random.
Here a model in the process is read and not asked, and the foils are tokens that other units of the arm promote.
`promoted-tokens` gives each token the gain of its log-probability, in nats, as what follows the explanation in a text,
over the mean after unrelated explanations (those that `lift` subtracts). A token that the model's tokenizer cuts is
read by its first part. `promoted-literal` is the floor: whether the explanation names the token, whatever its case,
read without any model. The logistic function brings a gain to [0, 1]; only the order counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from autointerp.artifacts import hash_value
from autointerp.contexts.naming import named_words, word_of
from autointerp.errors import BadInput
from autointerp.judge.interface import NO_CONTEXT, Case, Item, Judgement, JudgeSettings, Tools, Traits
from autointerp.judge.tokens import draw_tokens
from autointerp.llm.capabilities import Needs
from autointerp.prompting import Prompt, load_prompt
from autointerp.records import Unscored
from autointerp.simulate.vocabulary import following, prompt_line

EMPTY = Unscored("empty explanation")
UNSPELLED = Unscored("the judge's tokenizer can't spell the token")
_BEFORE = (":", "a")
"""A token is spelled as it follows the first of these that the tokenizer does not join with it."""


class PromotedTokens:
    """Reads what a model in this process expects after an explanation."""

    name = "promoted-tokens"
    traits = Traits(asks=False, needs=Needs(whole_distribution=True), metrics=("auroc",), of_tokens=True)

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded, or is no completion."""
        self._prompt = load_prompt(settings.prompt or "promoted-tokens/v1", settings.prompts_folder)
        if self._prompt.form != "completion":
            raise BadInput(
                f"prompt '{self._prompt.name}' has form '{self._prompt.form}'",
                "judge 'promoted-tokens' needs a completion",
            )
        self.prompt = self._prompt.identity
        """`name@hash`."""
        self._tools = settings.tools
        self._expected: _Expected | None = None

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        """Up to ten promoted tokens and as many foils, the promoted ones first; `examples` says nothing here."""
        drawn = draw_tokens(case, rng)
        if isinstance(drawn, Unscored):
            return drawn
        explanation = prompt_line(case.explanation)
        if not explanation:
            return EMPTY
        if self._expected is None:
            self._expected = _Expected(self._tools, self._prompt)
        gains = self._expected.gains(explanation, [token for token, _ in drawn])
        return [
            Judgement(Item(NO_CONTEXT, place, truth, token), UNSPELLED if gain is None else float(expit(gain)))
            for place, ((token, truth), gain) in enumerate(zip(drawn, gains, strict=True))
        ]


class _Expected:
    """What the model expects next, with an explanation and without."""

    def __init__(self, tools: Tools, prompt: Prompt) -> None:
        if tools.model is None or not tools.bank:
            raise ValueError("judge 'promoted-tokens' was made without a model, or without unrelated explanations")
        self._model, self._bank, self._ledger, self._prompt = tools.model, list(tools.bank), tools.ledger, prompt
        self._unrelated: Float[np.ndarray, " vocabulary"] | None = None

    def gains(self, explanation: str, tokens: list[str]) -> list[float | None]:
        """The gain of each token in nats; None for one that can't be spelled."""
        ways = zip(*(following(self._model.tokenizer, before, tokens) for before in _BEFORE), strict=True)
        spelled: list[list[int]] = [next(filter(None, way), []) for way in ways]
        read = iter(self._values(explanation, np.array([ids[0] for ids in spelled if ids], dtype=np.int64)).tolist())
        return [next(read) if ids else None for ids in spelled]

    def _values(self, explanation: str, ids: Int[np.ndarray, " token"]) -> Float[np.ndarray, " token"]:
        name = hash_value(
            [PromotedTokens.name, self._model.identity, self._prompt.identity, self._bank, explanation, ids.tolist()]
        )
        held: Float[np.ndarray, " token"] | None = None if self._ledger is None else self._ledger.numbers(name)
        if held is not None:
            return held
        if self._unrelated is None:
            self._unrelated = self._rows(self._bank).mean(axis=0)
        gains: Float[np.ndarray, " vocabulary"] = self._rows([explanation])[0] - self._unrelated
        values: Float[np.ndarray, " token"] = gains[ids].astype(np.float32)
        if self._ledger is not None:
            self._ledger.keep_numbers(name, self._model.identity, values)
        return values

    def _rows(self, explanations: Sequence[str]) -> Float[np.ndarray, "explanation vocabulary"]:
        from autointerp.simulate.lift import prefix

        texts = [prefix(self._prompt, explanation) for explanation in explanations]
        rows = [part.cpu().double().numpy() for part in self._model.next_token_logprobs(texts)]
        return np.concatenate(rows)


class PromotedLiteral:
    """Says yes to a token that the explanation names, and no to any other."""

    name = "promoted-literal"
    traits = Traits(asks=False, needs=Needs(nothing=True), metrics=("auroc",), of_tokens=True)

    def __init__(self, settings: JudgeSettings) -> None:
        self.prompt = ""
        """There is none."""

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        """The same number of tokens as `PromotedTokens` takes; no explanation makes it fail."""
        drawn = draw_tokens(case, rng)
        if isinstance(drawn, Unscored):
            return drawn
        named = {word.casefold() for word in named_words(case.explanation)}
        return [
            Judgement(Item(NO_CONTEXT, place, truth, token), float(word_of(token).casefold() in named))
            for place, (token, truth) in enumerate(drawn)
        ]
