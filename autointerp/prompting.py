"""Prompts are files: found, checked, rendered and named by hash here.

A prompt is `prompts/<method>/<version>.toml`:

    version = 1
    form = "chat"                       # or "completion": one text, continued
    [[messages]]
    role = "system"                     # chat only; a completion has one message without a role
    content = "..."                     # a Jinja template, sandboxed; unknown names are errors

Text from corpora and models enters as values and is never parsed as a template.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from autointerp.artifacts import hash_value
from autointerp.errors import BadInput, nearest

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


@dataclass(frozen=True)
class Prompt:
    """One versioned prompt."""

    name: str
    """`folder/name`."""
    version: int
    form: str
    """`chat` or `completion`."""
    messages: tuple[tuple[str, str], ...]
    """(role, template) pairs; the role of a completion is ''."""

    @property
    def identity(self) -> str:
        """`name@hash`: what the records keep."""
        content = [self.version, self.form, [list(m) for m in self.messages]]
        return f"{self.name}@{hash_value(content)[:12]}"

    def render(self, **values: Any) -> tuple[tuple[str, str], ...]:
        """Fill in the values; BadInput when the template asks for a value that is not given."""
        try:
            return tuple((role, _template(text).render(**values)) for role, text in self.messages)
        except TemplateError as error:
            raise BadInput(f"prompt '{self.name}' can't be rendered ({error})", "correct the prompt file") from error


def user_folder(named: str | None) -> Path | None:
    """The folder of a user's prompts that a study names, if it names one."""
    return None if named is None else Path(named).expanduser()


@cache
def _template(text: str) -> Template:
    """A message's template, parsed once: thousands of requests are made of it."""
    return _ENVIRONMENT.from_string(text)


def built_in_folder() -> Path:
    """The prompts that ship with the package: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "_prompts"
    return inside if inside.is_dir() else package.parent / "prompts"


@cache
def load_prompt(name: str, folder: Path | None = None) -> Prompt:
    """Load prompt `folder/name` ("highlight/v1"), from the user's `folder` first.

    Raises BadInput when there is none of that name, or when the file is malformed.
    """
    folders = [f for f in (folder, built_in_folder()) if f is not None]
    for place in folders:
        path = place / f"{name}.toml"
        if path.is_file():
            return _parse(name, path)
    known = [p.relative_to(f).with_suffix("").as_posix() for f in folders for p in f.rglob("*.toml")]
    raise BadInput(f"no prompt '{name}'", nearest(name, known))


def _parse(name: str, path: Path) -> Prompt:
    try:
        raw = tomllib.loads(path.read_text("utf8"))
        messages = tuple((str(m.get("role", "")), str(m["content"])) for m in raw["messages"])
        prompt = Prompt(name, int(raw["version"]), str(raw["form"]), messages)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"prompt file {path} is malformed ({error!r})", "see the head of prompting.py") from error
    if prompt.form not in ("chat", "completion") or (prompt.form == "completion" and len(messages) != 1):
        raise BadInput(f"prompt file {path} has form '{prompt.form}' and {len(messages)} messages",
                       "use form chat, or form completion with one message")  # fmt: skip
    return prompt
