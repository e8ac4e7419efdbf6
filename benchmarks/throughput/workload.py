"""What every contestant asks: distinct chats of realistic size, and how an answer is told from a wrong one.

Standard library only: it runs in the environments of the rivals too.
"""

from __future__ import annotations

import random
from functools import cache

MODEL = "loopback"
MAX_TOKENS = 16
TEMPERATURE = 0.0
_SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi ko zu ran sel mon tar dim".split()
_SHARED_WORDS = 90
"""Words of the instructions that all chats share."""
_OWN_WORDS = 180
_VOCABULARY = 2000
_SEED = 0


def chat(number: int) -> tuple[tuple[str, str], ...]:
    """Request `number`: (role, content) pairs, about 2,000 characters (500 tokens of English), no two alike."""
    words = _vocabulary()
    start = number * 7 % _VOCABULARY
    own = " ".join(words[start : start + _OWN_WORDS])
    return ("system", _instructions()), ("user", f"{mark(number)} {own}")


def mark(number: int) -> str:
    """How the endpoint knows which request it has before it."""
    return f"[request {number}]"


def answer(number: int | str) -> str:
    """What the endpoint says to request `number`."""
    return f"the answer to request {number}"


@cache
def _vocabulary() -> list[str]:
    draw = random.Random(_SEED)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(2, 4))) for _ in range(_VOCABULARY)]
    return words + words[:_OWN_WORDS]


@cache
def _instructions() -> str:
    return " ".join(_vocabulary()[:_SHARED_WORDS])
