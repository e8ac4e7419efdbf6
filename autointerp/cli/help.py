"""How help is told: one line per verb in the list of verbs, and no dot at the end of a line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_OF_HELP = "show this and exit"


class Verb(TyperCommand):
    """One verb."""

    def get_help_option(self, ctx: Any) -> Any:
        """`--help`, in the words of the other options."""
        return _in_our_words(super().get_help_option(ctx))


class Verbs(TyperGroup):
    """Several verbs under one name."""

    def get_help_option(self, ctx: Any) -> Any:
        """`--help`, in the words of the other options."""
        return _in_our_words(super().get_help_option(ctx))


def _in_our_words(option: Any) -> Any:
    if option is not None:
        option.help = _OF_HELP
    return option


def add_verb(
    app: typer.Typer, function: Callable[..., None], line: str, *, name: str | None = None, text: str | None = None
) -> None:
    """Add a verb. `line`: what the list of verbs says of it, short enough not to be cut in 80 columns.

    `text`: what its own help says; None: the function's docstring. Each of its paragraphs is one sentence, and loses
    the dot at its end.
    """
    shown = inspect.getdoc(function) or "" if text is None else text
    paragraphs = [paragraph.removesuffix(".") for paragraph in shown.split("\n\n")]
    app.command(name, cls=Verb, short_help=line, help="\n\n".join(paragraphs))(function)
