"""The prompts that are attributed: given, out of a file, or beginnings of the built-in text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.corpus.builtin import builtin_documents
from autointerp.errors import BadInput
from autointerp.models import LoadedModel

PROMPT_TOKENS = 24
"""Of a prompt that is taken from the corpus."""


@dataclass(frozen=True)
class GivenPrompt:
    """A prompt, and what is attributed after it: None, what the model writes."""

    prompt: str
    output: str | None = None


def read_prompts(path: Path) -> list[GivenPrompt]:
    """A prompt per line: of a .jsonl file objects with `prompt` and, if they like, `output`; else lines of text.

    Raises BadInput for a file that is not there or holds none, and for a line that is no such object.
    """
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read ({error})", "give a text file in UTF-8") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if path.suffix != ".jsonl":
            found.append(GivenPrompt(line))
            continue
        try:
            raw: Any = json.loads(line)
            found.append(GivenPrompt(**{key: str(raw[key]) for key in ("prompt", "output") if key in raw}))
        except (ValueError, TypeError) as error:
            raise BadInput(f"line {number} of {path} is no prompt ({error})", 'write {"prompt": "..."}') from error
    if not found:
        raise BadInput(f"{path} holds no prompt", "write one per line")
    return found


def prompts_of_corpus(loaded: LoadedModel, count: int, seed: int) -> list[GivenPrompt]:
    """Beginnings of documents of the built-in text, of some twenty tokens each."""
    found = []
    for document in builtin_documents(seed):
        ids = loaded.tokenizer(document.text[:1000], add_special_tokens=False)["input_ids"]
        if len(ids) >= 2 * PROMPT_TOKENS:
            found.append(GivenPrompt(str(loaded.tokenizer.decode(list(ids)[:PROMPT_TOKENS])).rstrip("\ufffd")))
        if len(found) == count:
            return found
    raise BadInput(f"the built-in text has only {len(found)} documents that are long enough", "ask for fewer prompts")
