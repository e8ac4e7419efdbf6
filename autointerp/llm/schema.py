"""JSON schemas of answers, in the small part of the language that every endpoint with a schema mode knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.artifacts import canonical_json

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
