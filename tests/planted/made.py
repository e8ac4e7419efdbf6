"""Planted units over made-up words: a meaning is a set of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from autointerp.contexts.naming import LIST
from autointerp.contexts.slices import Held
from autointerp.judge.interface import HeldOut
from autointerp.planted.foils import Foil
from autointerp.planted.meanings import NEAR_MISS, NOISE, OTHER, TOO_BROAD, TOO_NARROW, TRUE
from autointerp.planted.rules import Noise, Rule
from autointerp.planted.units import PlantedUnit
from autointerp.records import Context, Split
from tests.tiny import tiny_tokenizer

WORDS = ["".join(letters) for letters in product("bdkmpt", "aeio", "ln", "aeu")][::2]
"""72 words that stand in no prompt."""
TOPICS, SIZE = 12, 4
TOKENS = 12


def topic(number: int) -> list[str]:
    first = number % TOPICS * SIZE
    return WORDS[first : first + SIZE]


@cache
def word_tokenizer() -> Any:
    """Every word is one token, with a space before it; anything else can be spelled, digits one by one."""
    tokenizer = tiny_tokenizer().train_new_from_iterator([f" {word}" for word in WORDS] * 3, vocab_size=900)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    return tokenizer


def _context(number: int, split: Split, rng: np.random.Generator) -> Context:
    topics = rng.choice(TOPICS, size=4, replace=False)
    words = [str(rng.choice(topic(int(rng.choice(topics))))) for _ in range(TOKENS)]
    pieces = tuple(f" {word}" for word in words)
    ids = word_tokenizer()("".join(pieces), add_special_tokens=False)["input_ids"]
    assert len(ids) == TOKENS
    return Context(number, split, number, f"s{number}", 0, np.array(ids), pieces)


@dataclass(frozen=True)
class OneOf:
    """A rule: active on some words, or on what comes before them."""

    words: frozenset[str]
    before: bool = False

    def activations(self, context: Context) -> np.ndarray:
        found = np.array([piece.strip() in self.words for piece in context.pieces], dtype=np.float32)
        return np.append(found[1:], np.float32(0)) if self.before else found

    def may(self, text: str) -> bool:
        return any(word in text.split() for word in self.words)


def _meanings(number: int) -> dict[str, tuple[str, list[str]]]:
    """Explanation and words, by sort."""
    own = topic(number)
    return {
        TRUE: (f"meaning {number}", own),
        NEAR_MISS: (f"beside meaning {number}", topic(number + 1)),
        TOO_BROAD: (f"around meaning {number}", [*own, *topic(number + 2)]),
        TOO_NARROW: (f"inside meaning {number}", own[:2]),
        OTHER: (f"meaning {(number + 7) % TOPICS}", topic(number + 7)),
    }


@cache
def meanings() -> Mapping[str, frozenset[str]]:
    """The words of every explanation."""
    told = [(text, words) for n in range(TOPICS) for text, words in _meanings(n).values()]
    return {form: frozenset(words) for text, words in told for form in (text, _listed(words))}


def _listed(words: Sequence[str]) -> str:
    return LIST + ", ".join(words)


def _held_out(rule: Rule, contexts: Sequence[Context], rng: np.random.Generator) -> tuple[tuple[HeldOut, ...], Held]:
    """The 5 contexts with the highest peaks and 30 drawn blindly; the slice of the former and the first 5 others."""
    values = [rule.activations(c) for c in contexts]
    top = sorted(range(len(contexts)), key=lambda n: -values[n].max())[:5]
    blind = [int(n) for n in rng.permutation(len(contexts))[:30]]
    both = list(dict.fromkeys([*top, *blind]))
    sliced = list(dict.fromkeys([*top, *blind[:5]]))
    ids, truth = [contexts[n].context for n in sliced], np.stack([values[n] for n in sliced])
    held = Held(np.array(ids), truth, np.ones(len(sliced)))
    return tuple(HeldOut(contexts[n], values[n], n in blind) for n in both), held


def _foils(other: tuple[str, list[str]]) -> tuple[Foil, ...]:
    """The one foil of a unit."""
    text, words = other
    return (Foil("planted/single-word/other/binary", "single-word", text, _listed(words), OneOf(frozenset(words))),)


@cache
def made_units(before: bool = False, noise: int = 6) -> tuple[PlantedUnit, ...]:
    """12 units that mean words, half of them frozen, and some that mean nothing, on 120 contexts.

    `before`: they are active on the token before such a word.
    """
    rng = np.random.default_rng(0)
    evidence = [_context(n, Split.EVIDENCE, rng) for n in range(60)]
    held_out = [_context(60 + n, Split.HELD_OUT, rng) for n in range(60)]
    kind = "before" if before else "single-word"
    drafts: list[tuple[str, str, dict[str, tuple[str, list[str]]], Rule]] = [
        (f"planted/{kind}/m{n}/binary", kind, _meanings(n), OneOf(frozenset(topic(n)), before)) for n in range(TOPICS)
    ]
    for n in range(noise):
        drafts.append((f"planted/noise/n{n}/binary", NOISE, {OTHER: _meanings(n)[TRUE]}, Noise(0.05, False, n)))
    drawn = [_held_out(rule, held_out, rng) for *_, rule in drafts]
    return tuple(
        PlantedUnit(
            unit=unit,
            kind=kind,
            test=place % 2 == 0,
            graded=False,
            density=float(np.mean([rule.activations(c) > 0 for c in held_out])),
            explanations={sort: text for sort, (text, _) in texts.items()},
            lists={sort: _listed(words) for sort, (_, words) in texts.items() if sort != OTHER},
            rules={sort: OneOf(frozenset(words)) for sort, (_, words) in texts.items()},
            foils=_foils(texts[OTHER]),
            held_out=drawn[place][0],
            held=drawn[place][1],
            evidence=tuple((c, rule.activations(c)) for c in evidence),
        )
        for place, (unit, kind, texts, rule) in enumerate(drafts)
    )
