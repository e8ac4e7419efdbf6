"""How a page is written that opens from `file://`, loads nothing from elsewhere, and runs no text as code.

A page is an HTML file without content, the vendored library, scripts of its own, and data as scripts
(`autointerp.take(NAME, VALUE)`), because a file page may load scripts and nothing else. Its policy allows scripts of
its own folder and one style, named by its hash; what it shows are text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import write_text

LIBRARY = ("preact.umd.js", "hooks.umd.js", "htm.umd.js")
"""The vendored files, in the order in which a page loads them."""
_COMMON = "common.js"
_STYLE = "base.css"


def assets_of(package: str) -> Traversable:
    """The folder `assets` of a package of ours."""
    return files(package) / "assets"


def data_script(name: str, value: Any) -> str:
    """A script that hands `value` to the page under `name`: JSON in ASCII, in which nothing ends a script.

    Numbers that are none (NaN, infinities) become null. Raises TypeError for what JSON does not hold.
    """
    return f"autointerp.take({_json(name)},{_json(value)});\n"


def _json(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def page(title: str, scripts: Sequence[str], style: str, *, token: str | None = None) -> str:
    """The HTML of a page that runs the library, `common.js` and `scripts`, in this order, on one element `#page`.

    `scripts`: paths relative to the page. `style`: CSS besides the house's. `token`: of a server that the page may
    ask; without one it may ask nobody.
    """
    css = (assets_of("autointerp.pages") / _STYLE).read_text(encoding="utf8") + style
    digest = base64.b64encode(hashlib.sha256(css.encode("utf8")).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'sha256-{digest}'; img-src data:; "
        f"connect-src {chr(39)}{'none' if token is None else 'self'}{chr(39)}; base-uri 'none'; form-action 'none'"
    )
    loaded = "".join(f'<script src="{escape(name)}"></script>\n' for name in (*_in_folder(), *scripts))
    known = "" if token is None else f'<meta name="autointerp-token" content="{escape(token)}">\n'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n{known}'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n"
        '<div id="page"><noscript>This page needs JavaScript; report.md has the numbers without.</noscript></div>\n'
        f"{loaded}</body>\n</html>\n"
    )


def _in_folder() -> list[str]:
    return [f"assets/{name}" for name in (*LIBRARY, _COMMON)]


def copy_assets(folder: Path, package: str | None = None, names: Sequence[str] = ()) -> None:
    """Copy the library with its licences and `common.js`, and files `names` of `package`, to `folder`/assets."""
    own = assets_of("autointerp.pages")
    licences = [each.name for each in own.iterdir() if each.name.startswith("LICENSE")]
    for name in (*LIBRARY, _COMMON, "vendored.json", *sorted(licences)):
        write_text(folder / "assets" / name, (own / name).read_text(encoding="utf8"))
    for name in names:
        if package is not None:
            write_text(folder / "assets" / name, (assets_of(package) / name).read_text(encoding="utf8"))
