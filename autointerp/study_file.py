"""Studies from files and to files: TOML in, overrides, errors that name the nearest valid key; TOML out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autointerp.errors import BadInput, nearest
from autointerp.study import Study


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


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and apply `section.key=value` overrides.

    Raises BadInput for a missing file, bad TOML, unknown keys and values out of range.
    """
    try:
        raw = tomllib.loads(Path(path).read_text("utf8"))
    except FileNotFoundError as error:
        raise BadInput(f"no study file {path}", "see examples/ for one to start from") from error
    except (tomllib.TOMLDecodeError, UnicodeError, OSError) as error:
        raise BadInput(f"{path} is not readable TOML ({error})", "correct it, or see examples/") from error
    return parse_study(raw, overrides)


def parse_study(raw: Mapping[str, Any], overrides: Sequence[str] = ()) -> Study:
    """Make a Study out of nested mappings and overrides; BadInput when it can't be."""
    study = _validated(raw)
    if not overrides:
        return study
    data = tomllib.loads(dump_study(study))  # with every default, so that an override may reach into any of them
    for text in overrides:
        _override(data, text)
    return _validated(data)


def _validated(data: Mapping[str, Any]) -> Study:
    try:
        return Study.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _explain(error) from error


def _override(data: dict[str, Any], text: str) -> None:
    path, separator, value = text.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise BadInput(f"--set {text}", "write it as --set section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    place: Any = data
    for key in keys[:-1]:
        if isinstance(place, list):
            place = place[_item(place, key, text)]
        else:
            place = place.setdefault(key, {})
        if not isinstance(place, dict | list):
            raise BadInput(f"--set {text}: '{key}' is a value, not a section", "write it as --set section.key=value")
    if isinstance(place, list):
        place[_item(place, keys[-1], text)] = parsed
    else:
        place[keys[-1]] = parsed


def _item(place: list[Any], key: str, text: str) -> int:
    if key.isdigit() and int(key) < len(place):
        return int(key)
    raise BadInput(f"--set {text}: the list has {len(place)} items", "name one by number, from 0: sae.0.hook=...")


def _explain(error: ValidationError) -> BadInput:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return BadInput(f"unknown key '{where}' in the study", nearest(str(first["loc"][-1]), _siblings(first["loc"])))
    if where.endswith("api_key_env"):  # not shown: it may be the key itself
        return BadInput(f"study: {where} is not the name of a variable", "give the NAME of the one that holds the key")
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    return BadInput(f"study: {where}{shown}" if where else "study", message)


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Study
    for part in location[:-1]:
        if part in (fields := _fields(model)):
            annotation: Any = fields[str(part)].annotation
            nested = [annotation, *getattr(annotation, "__args__", ())]
            model = next((one for one in nested if _fields(one)), model)
    return list(_fields(model))


def _fields(model: Any) -> Mapping[str, Any]:
    """Of a section, or of a dataclass that is one; nothing for other types."""
    found: Mapping[str, Any] = getattr(model, "__pydantic_fields__", {})
    return found


def dump_study(study: Study) -> str:
    """The study as TOML with every default written out; reading it back gives an equal study."""
    return to_toml(study.model_dump(mode="json", exclude_none=True))
