"""TOML out of plain data; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(data: Mapping[str, Any]) -> str:
    """A table per mapping, a sub-table per mapping of mappings, an array of tables per list of mappings.

    Values are JSON-like, without None. Reading the text back gives equal data.
    """
    plain = {k: v for k, v in data.items() if not _is_section(v)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    for name, section in data.items():
        if not _is_section(section):
            continue
        if isinstance(section, list):
            for entry in section:
                lines += ["", f"[[{_key(name)}]]", *_pairs(entry)]
        elif section and all(isinstance(v, dict) for v in section.values()):
            for key, entry in section.items():
                lines += ["", f"[{_key(name)}.{_key(key)}]", *_pairs(entry)]
        else:
            lines += ["", f"[{_key(name)}]", *_pairs(section)]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _pairs(entry: Mapping[str, Any]) -> list[str]:
    return [f"{_key(k)} = {_value(v)}" for k, v in entry.items()]


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
