"""JSON in answers: schemas to ask for it by, the one object or array found in it, the values that are numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from autointerp.artifacts import canonical_json
from autointerp.llm.request import Unreadable

NO_JSON = Unreadable("no JSON in the answer")
MALFORMED = Unreadable("malformed JSON in the answer")
SEVERAL = Unreadable("several JSON values in the answer")
DUPLICATE_KEY = Unreadable("a duplicate key in the answer's JSON")
NOT_FINITE = Unreadable("NaN or infinity in the answer's JSON")
TOO_DEEP = Unreadable("the answer's JSON is nested too deeply")
NOT_AN_OBJECT = Unreadable("the answer's JSON is not an object")
NUMBER_TOO_LONG = Unreadable("a number in the answer's JSON is too long")
_OPENING = re.compile(r"[\[{]")
_MOST_BRACKETS = 64
"""More bracketed prose than any answer has: bounds the time that a hostile text costs."""


@dataclass(frozen=True)
class JsonPart:
    """A JSON value, and where in the text it stands."""

    value: Any
    """An object (dict) or an array (list)."""
    start: int
    """Offset of its first character."""
    end: int
    """Offset behind its last character."""


def read_json_answer(text: str) -> Any | Unreadable:
    """The one JSON object or array in `text`, which may stand in a code fence and between prose.

    Unreadable for no JSON, malformed JSON, several values, a key twice in one object, and NaN or infinity. A bare
    number or word is no answer, and brackets around words (`[see below]`) are prose.
    """
    found = find_json(text)
    return found if isinstance(found, Unreadable) else found.value


def read_json_object(text: str) -> dict[str, Any] | Unreadable:
    """The same, where it must be an object."""
    found = read_json_answer(text)
    return found if isinstance(found, dict | Unreadable) else NOT_AN_OBJECT


def find_json(text: str) -> JsonPart | Unreadable:
    """What `read_json_answer` reads, with its place in the text."""
    found: JsonPart | None = None
    place = brackets = 0
    while (opening := _OPENING.search(text, place)) is not None:
        part = _decode(text, opening.start())
        if isinstance(part, Unreadable):
            return part
        brackets += 1
        if brackets > _MOST_BRACKETS:
            return NO_JSON
        place = opening.end() if part is None else part.end
        if part is not None and found is not None:
            return SEVERAL
        found = part or found
    return NO_JSON if found is None else found


def _decode(text: str, start: int) -> JsonPart | Unreadable | None:
    """The value that begins at `start`; None when the bracket there is prose."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except _Refused as error:
        return error.why
    except RecursionError:
        return TOO_DEEP
    except json.JSONDecodeError as error:
        # Nothing nested in a broken value is taken for the answer.
        prose = text[start] == "[" and not text[start + 1 : error.pos].strip()
        return None if prose else MALFORMED
    return JsonPart(value, start, end)


class _Refused(Exception):
    """JSON that Python would read, and that does not say one thing."""

    def __init__(self, why: Unreadable) -> None:
        super().__init__(why.reason)
        self.why = why


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused(DUPLICATE_KEY)
    return members


def _not_finite(_: str) -> NoReturn:
    raise _Refused(NOT_FINITE)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _Refused(NOT_FINITE)  # 1e999
    return value


def _int(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise _Refused(NUMBER_TOO_LONG) from error  # past Python's limit of digits


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_not_finite, parse_float=_float, parse_int=_int)


YES_NO: Mapping[str, Any] = {"type": "integer", "enum": [0, 1]}
"""A 0 or a 1."""


def between(low: int, high: int) -> Mapping[str, Any]:
    """A whole number from `low` to `high`, both included."""
    return {"type": "integer", "minimum": low, "maximum": high}


def listed(item: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """A list of just `count` items."""
    return {"type": "array", "items": item, "minItems": count, "maxItems": count}


def answer_object(members: Mapping[str, Mapping[str, Any]], *, all_of_them: bool = True) -> str:
    """An object with these members and no others, in their order: all of them, or any of them. JSON text."""
    # The text keeps the order of the members: it is the order in which a model that is held to it writes them.
    names = canonical_json(list(members)) if all_of_them else "[]"
    properties = ",".join(f"{canonical_json(name)}:{canonical_json(member)}" for name, member in members.items())
    return f'{{"type":"object","properties":{{{properties}}},"required":{names},"additionalProperties":false}}'


HIGHEST = 9
VALUE = between(0, HIGHEST)
"""JSON schema of a value."""
SLACK = 32
"""Tokens of an answer for a code fence, or a few words around the values."""
WRONG_NUMBER = Unreadable("wrong number of values")
NO_NUMBER = Unreadable("a value that is not a number")
OUT_OF_RANGE = Unreadable("a value that is not between 0 and 9")


def written_value(value: Any) -> float | Unreadable:
    """A JSON value as an activation from 0 to 9; Unreadable for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NO_NUMBER
    return float(value) if 0 <= value <= HIGHEST else OUT_OF_RANGE
