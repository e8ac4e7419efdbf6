"""What a method can see of a kind of meaning, by construction: declared, and never read off its scores.

A kind that a method is blind to is its negative control: it must hold 0.5 there, or something gives the meaning away.
So the blind kinds never share a mean with those that the method sees, and what it sees in part is in neither mean.
"""

from __future__ import annotations

from enum import StrEnum

from autointerp.planted.meanings import DESCRIPTION, KINDS, NOISE, WORD_LIST


class Sight(StrEnum):
    """How much of a meaning a method can see; also the names of the two pools of kinds (not of PARTLY)."""

    SEEN = "seen"
    PARTLY = "partly"
    BLIND = "blind"


_TOKEN = {
    "lookup": "has one prediction per token id",
    "lift": "predicts each token from the explanation alone",
    "embedding": "compares each word with the explanation",
    "reader": "reads what `lift` says of a token, and whether the explanation names it or the token before",
    "literal": "compares each token's text with the explanation's words",
    "literal-words": "compares each word with the explanation's words",
}
"""Methods that see a token (or its word) and nothing around it, and what each does."""
_NEXT = {"lift-next": "looks at the token that follows"}
"""Methods that see the token after the one that they predict, and nothing else."""
_NEXT_SIGHT = {"before": Sight.SEEN, "after": Sight.BLIND, "single-word": Sight.BLIND}
"""What the latter see of a kind; of all others a part: where a word or a span is several tokens, the one that follows
may be the rest of it."""


def sight(method: str, kind: str, form: str = DESCRIPTION) -> Sight:
    """What `method` sees of `kind`, told in `form`; a method that is not declared here reads the whole context.

    A list names tokens. Of a meaning that lies in the context it names those that happen to stand there, which is
    true of the unit as far as it goes: no negative control for a method that sees tokens.
    """
    if kind == NOISE or method not in (*_TOKEN, *_NEXT):
        return Sight.SEEN
    word_like = KINDS[kind].word_like
    if method in _TOKEN:
        partly = form == WORD_LIST or method == "lookup" or (method, kind) == ("reader", "after")
        return Sight.SEEN if word_like else Sight.PARTLY if partly else Sight.BLIND
    return Sight.PARTLY if form == WORD_LIST and not word_like else _NEXT_SIGHT.get(kind, Sight.PARTLY)


def why_blind(method: str, kind: str) -> str:
    """In words, for a page: what the method does, and where the meaning lies instead."""
    where = "the token itself" if KINDS[kind].word_like else "what stands around the token"
    return f"it {(_TOKEN | _NEXT)[method]}, and the meaning lies in {where}"


def out_of_context(method: str) -> bool:
    """Whether a method reads each explanation once, whatever text it is tried on: then further foils cost nothing."""
    return method in (_TOKEN | _NEXT)
