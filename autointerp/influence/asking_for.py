"""What the verb was given becomes queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from autointerp.errors import BadInput
from autointerp.influence.queries import Query
from autointerp.influence.run_material import TrainedRun

_GIVE = 'give "PROMPT" "COMPLETION", --unit feature/12 or --queries FILE'


def read_queries(run: TrainedRun, text: Sequence[str], units: Sequence[str], file: Path | None) -> list[Query]:
    """The queries in the order text, units, file; BadInput for what is none, or twice the same."""
    if len(text) not in (0, 2):
        raise BadInput(f"{len(text)} texts are no prompt and completion", _GIVE)
    pairs = [(text[0], text[1])] if text else []
    if file is not None:
        pairs += _pairs(file)
    if not pairs and not units:
        raise BadInput("nothing is asked", _GIVE)
    made = [run.completion(*pair) for pair in pairs[: bool(text)]]
    made += [run.unit(name) for name in units]
    made += [run.completion(*pair) for pair in pairs[bool(text) :]]
    names = [query.name for query in made]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{name} is asked twice", "give it once")
    return made


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        lines = [line for line in file.read_text("utf8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise BadInput(f"{file} can't be read ({error})", "give a file of JSON lines") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        try:
            given = json.loads(line)
            prompt, completion = given["prompt"], given["completion"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"line {number} of {file} is no query ({error!r})", 'write {"prompt": "...", "completion": "..."}'
            ) from error
        if not isinstance(prompt, str) or not isinstance(completion, str):
            raise BadInput(f"line {number} of {file}: prompt and completion are no texts", "write them as strings")
        pairs.append((prompt, completion))
    return pairs
