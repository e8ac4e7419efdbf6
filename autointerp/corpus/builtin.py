"""The `builtin` corpus: text of the packages in `builtin.toml`, half of it Wikipedia where that is installed.

Documents that differ as wholes can quote the same paragraph (a licence, a notice): such passages are kept once.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from email.parser import Parser
from itertools import chain, cycle

from autointerp.artifacts import rng_of, seed_of
from autointerp.corpus import installed
from autointerp.corpus.document import BLOCK_CHARACTERS, Document, blocks
from autointerp.corpus.installed import PYTHON, WIKIPEDIA, InstalledFile, text_files, wikipedia_articles
from autointerp.corpus.listing import read_list
from autointerp.corpus.split import shingles

SHORTEST = 150
"""Characters that a document needs."""
LETTERS = 0.55
"""Share of letters that a document needs, so that tables, dumps and rulers are left out."""
_LONGEST = 2 * BLOCK_CHARACTERS
_TOPICS = "pydoc_data/topics.py"
_MIX = (
    "docstrings", "python docstrings", "prose", "docstrings", "functions", "headers",
    "docstrings", "python docstrings", "prose", "topics", "markup", "licences",
)  # fmt: skip
"""The kinds in turn; prose-like ones come more often."""


def builtin_documents(seed: int) -> Iterator[Document]:
    """Documents of every kind in turn, each kind in a seeded order, until all are used up.

    With the Wikipedia package every other document is a summary of an article. Files are read as they are needed, a
    few documents out of each. Only sources of the list are read, so whatever else is installed, the same seed gives
    the same documents where the listed ones are installed. Each file's place is drawn by its name alone: where a
    source is missing or another one, the documents of the others stay as they are, in the same order.
    """
    sources = {name: text_files(name) for name in read_list()}
    summaries = sources.pop(WIKIPEDIA, [])
    rest = _in_turn(_streams(sources, seed), _MIX)
    return _in_turn({"wikipedia": _wikipedia(summaries, seed), "rest": rest}, ("wikipedia", "rest"))


def _in_turn(streams: dict[str, Iterator[Document]], order: tuple[str, ...]) -> Iterator[Document]:
    """Documents of the named streams in turn; one that has ended is left out from then on."""
    live = dict(streams)
    for name in cycle(order):
        if not live:
            return
        if name in live:
            document = next(live[name], None)
            if document is None:
                del live[name]
            else:
                yield document


def _streams(sources: dict[str, list[InstalledFile]], seed: int) -> dict[str, Iterator[Document]]:
    python = sources.pop(PYTHON, [])
    files = list({file.source: file for of_package in sources.values() for file in of_package}.values())
    topics = [f for f in python if f.source.endswith(_TOPICS)]
    python = [f for f in python if not f.source.endswith(_TOPICS)]
    prose = [*installed.by_suffix(files, installed.PROSE), *filter(installed.is_description, files)]
    recipes: dict[str, tuple[Iterable[InstalledFile], Callable[[str], Iterable[str]], int]] = {
        "docstrings": (installed.by_suffix(files, (".py",)), installed.docstrings, 4),
        "python docstrings": (python, installed.docstrings, 4),
        "functions": ([*installed.by_suffix(files, (".py",)), *python], installed.functions, 2),
        "topics": (topics, _topics, 24),
        "headers": (installed.by_suffix(files, installed.HEADERS), _blocks, 2),
        "prose": (prose, _prose, 4),
        "markup": (installed.by_suffix(files, installed.MARKUP), _blocks, 2),
        # The head alone: copies of one licence begin alike, and are found as near-duplicates.
        "licences": (filter(installed.is_licence, files), lambda text: [text[:_LONGEST]], 1),
    }
    return {name: _sample(chosen, parts, most, (seed, name)) for name, (chosen, parts, most) in recipes.items()}


def _sample(
    files: Iterable[InstalledFile], parts: Callable[[str], Iterable[str]], most: int, key: tuple[int, str]
) -> Iterator[Document]:
    """Up to `most` parts of each file, the packages in turn, so that no large package or file outweighs the rest."""
    for file in _packages_in_turn(files, key):
        found = [part for part in map(tidy, parts(file.read() or "")) if worth_reading(part)]
        rng = rng_of(*key, "parts", file.source)
        for number in sorted(rng.choice(len(found), size=min(most, len(found)), replace=False)):
            yield Document(file.source, found[number], file.licence)


def _packages_in_turn(files: Iterable[InstalledFile], key: tuple[int, str]) -> list[InstalledFile]:
    """The files of each package in an order drawn by their names alone, and in every turn one of each package."""
    shuffled = sorted(files, key=lambda file: seed_of(*key, "order", file.source))
    taken, turns = Counter[str](), list[int]()
    for file in shuffled:
        turns.append(taken[file.package])
        taken[file.package] += 1
    return [shuffled[i] for i in sorted(range(len(shuffled)), key=turns.__getitem__)]


def _wikipedia(summaries: Iterable[InstalledFile], seed: int) -> Iterator[Document]:
    """The articles in a seeded order. The files (16 MB in all) are held while their documents are read."""
    articles = list(wikipedia_articles(summaries))
    for document in sorted(articles, key=lambda article: seed_of(seed, "order of the articles", article.source)):
        text = tidy(document.text)
        if worth_reading(text):
            yield replace(document, text=text)


def tidy(text: str) -> str:
    """The text without trailing spaces, with long runs of spaces, of blank lines and of one mark shortened."""
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"[ \t]{5,}", "    ", text)
    text = re.sub(r"([^\w\s])\1{4,}", r"\1\1\1", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def worth_reading(text: str) -> bool:
    """Whether a text is long enough and made of letters, mostly."""
    return len(text) >= SHORTEST and sum(map(str.isalpha, text)) >= LETTERS * len(text)


def _blocks(text: str) -> Iterator[str]:
    return blocks(text.splitlines())


def _prose(text: str) -> Iterator[str]:
    """A page, or the description in a package's metadata (which are headers like those of a message)."""
    if text.startswith("Metadata-Version:"):
        message = Parser().parsestr(text)
        text = str(message.get_payload() or message["Description"] or "")
    return _blocks(text)


def _topics(text: str) -> Iterator[str]:
    """Blocks of Python's documentation topics: the long strings in the module that holds them."""
    return chain.from_iterable(map(_blocks, installed.long_strings(text, SHORTEST)))


SHARED = 0.5
"""Share of a context's word 5-grams that may stand in earlier contexts; from there on it counts as seen."""
_TOKENS_PER_STEP = 32


class Passages:
    """Remembers word 5-grams of the contexts that were kept.

    Unlike the similarity of whole documents this finds a passage wherever it begins. Of contexts of more than 32
    tokens a part of the 5-grams is remembered, chosen by their hash (the 0 mod p sampling of Manber 1994), so that
    memory grows with the number of contexts, by about twenty hashes each, and not with their length.
    """

    def __init__(self, context: int) -> None:
        self._one_in = max(context // _TOKENS_PER_STEP, 1)
        self._known: set[int] = set()

    def seen(self, text: str) -> bool:
        """Whether at least half of the text stood in contexts that were added."""
        prints = self._fingerprints(text)
        return len(prints & self._known) >= SHARED * len(prints)

    def add(self, text: str) -> None:
        """Remember a context's text."""
        self._known |= self._fingerprints(text)

    def _fingerprints(self, text: str) -> set[int]:
        """Hashes of the 5-grams that are sampled; of all of them when none is."""
        hashes = {int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "big") for s in shingles(text)}
        return {h for h in hashes if h % self._one_in == 0} or hashes
