"""A rival's prompt as a prompt file of ours: the same words around the explanation and the contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

EXPLANATION, EXAMPLE = "@EXPLANATION@", "@EXAMPLE@"
"""Stand where a rival is to put an explanation, and the text of its one context."""
_LIST = "{% for excerpt in excerpts %}Example {{ loop.index0 }}: {{ excerpt }}\n{% endfor %}"
_END = "<end>"


def write_simulation(folder: Path, prompt: str) -> None:
    """`digits/v1` out of the text that a simulator sends for no token at all: what comes before the first one."""
    _write(folder / "digits", "completion", [("", prompt[: prompt.rindex(_END)].rstrip("\n") + "\n")])


def write_detection(folder: Path, messages: Sequence[Mapping[str, str]]) -> None:
    """`detection/v1` out of the chat that a scorer sends."""
    _write(folder / "detection", "chat", [(message["role"], message["content"]) for message in messages])


def _write(folder: Path, form: str, messages: Sequence[tuple[str, str]]) -> None:
    folder.mkdir(parents=True)
    tables = [{**({"role": role} if role else {}), "content": _template(content)} for role, content in messages]
    (folder / "v1.toml").write_text(tomli_w.dumps({"version": 1, "form": form, "messages": tables}), encoding="utf8")


def _template(text: str) -> str:
    """The text as a template that renders to just that, but for the places to be filled in."""
    before, _, rest = text.partition(EXPLANATION)
    parts = [_raw(before), "{{ explanation }}", _raw(rest)] if EXPLANATION in text else [_raw(text)]
    return "".join(parts).replace(f"Example 0: {EXAMPLE}\n", f"{{% endraw %}}{_LIST}{{% raw %}}")


def _raw(text: str) -> str:
    return f"{{% raw %}}{text}{{% endraw %}}" if text else ""
