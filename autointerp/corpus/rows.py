"""Rows of JSONL, Parquet and hub data sets as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.corpus.document import Document
from autointerp.errors import BadInput, nearest
from autointerp.study_inputs import Corpus


def document_of(row: Mapping[str, Any], place: str, corpus: Corpus) -> Document | None:
    """The document of a row found at `place`, which is also its source when the study names no field for that.

    None when the row's text is null. Raises BadInput when a field is missing or the text is no text.
    """
    text = _field(row, corpus.text_field, "text_field", place)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadInput(
            f"{place}: '{corpus.text_field}' holds {type(text).__name__}, not text",
            "set corpus.text_field to the field that holds the text",
        )
    source = place
    if corpus.source_field is not None:
        source = str(_field(row, corpus.source_field, "source_field", place))
    return Document(source, well_formed(text))


def well_formed(text: str) -> str:
    """The text with lone surrogates (a JSON escape can make one) replaced by '?', since no tokenizer takes them."""
    return text.encode("utf8", "replace").decode("utf8")


def _field(row: Mapping[str, Any], name: str, key: str, place: str) -> Any:
    if name not in row:
        raise BadInput(f"{place} has no field '{name}'", f"set corpus.{key}: {nearest(name, row)}")
    return row[name]
