"""Studies from files and to files: TOML in, overrides, errors that name the nearest valid key; TOML out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from autointerp.errors import BadInput, nearest
from autointerp.study import Study

RUN_STUDY = "study.toml"
"""The study of a run, by path in its folder: every key with its value."""


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and apply `section.key=value` overrides.

    Raises BadInput for a missing file, bad TOML, unknown keys and values out of range.
    """
    return parse_study(_read(path), overrides)


def study_of(run: Path) -> Study:
    """The study that a run folder was made from. BadInput as in `load_study`.

    A folder whose study has no word of scrambled subjects was made before there were any: it has none.
    """
    return parse_study({"scrambled": {"seeds": []}, **_read(run / RUN_STUDY)})


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))  # some editors begin with a byte-order mark
    except FileNotFoundError as error:
        raise BadInput(f"no study file {path}", "see examples/ for one to start from") from error
    except (tomllib.TOMLDecodeError, UnicodeError, OSError) as error:
        raise BadInput(f"{path} is not readable TOML ({error})", "correct it, or see examples/") from error


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
    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
