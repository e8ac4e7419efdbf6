"""`sources.md`: where the run's contexts are from, and under which licences, beside the tables that quote them."""

from __future__ import annotations

from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.report.markdown import escape, table
from autointerp.tables import read_table

_HEAD = """# Sources and licences of the contexts

`contexts.parquet`, the figures and the report quote short passages (at most a context long) of the texts below, each
under its own licence. Wikipedia summaries are by Wikipedia's authors, CC BY-SA 4.0: the article is named after the
`#` of its source in `documents.parquet`. `documents.parquet` names the source of every document.
"""


def write_sources(run: Path) -> Path:
    """Write `sources.md` of a run and give its path: packages and files, their licences, how many documents.

    Raises BadInput when `documents.parquet` is missing.
    """
    documents = read_table(run / "documents.parquet", ["source", "licence", "contexts"])
    documents["from"] = documents["source"].map(_origin)
    counts = documents.groupby(["from", "licence"], as_index=False).agg(
        documents=("source", "size"), contexts=("contexts", "sum")
    )
    counts = counts.sort_values(["contexts", "from"], ascending=[False, True])
    rows = [
        [escape(str(row["from"])), escape(_licence(row["licence"])), str(row["documents"]), str(row["contexts"])]
        for row in counts.to_dict("records")
    ]
    path = run / "sources.md"
    write_text(path, f"{_HEAD}\n{table(['from', 'licence', 'documents', 'contexts'], rows)}\n")
    return path


def _origin(source: str) -> str:
    """Package, or file of a data set, that a source belongs to."""
    if "#" in source:
        return source.split("#")[0]
    return source.split("/")[0]


def _licence(licence: object) -> str:
    return str(licence) if licence else "not stated"
