"""Every layout by its name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from sae.errors import SaeError
from sae.formats.dictionary_learning import DictionaryLearning
from sae.formats.interface import Format
from sae.formats.saelens import SaeLens
from sae.formats.sparsify import Sparsify

FORMATS: Mapping[str, Format] = {layout.name: layout for layout in (SaeLens(), DictionaryLearning(), Sparsify())}
"""What checkpoints are read and written as; the first whose two files are there is taken."""


def format_named(layout: str) -> Format:
    """The layout of this name; SaeError lists the names."""
    if layout not in FORMATS:
        raise SaeError(f"layout '{layout}' is not known", f"valid: {', '.join(FORMATS)}")
    return FORMATS[layout]
