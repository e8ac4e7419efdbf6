"""Documents of a Hugging Face data set, streamed."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.corpus.document import Document
from autointerp.corpus.rows import document_of
from autointerp.errors import BadInput
from autointerp.study_inputs import Corpus


def hub_documents(corpus: Corpus) -> Iterator[Document]:
    """Documents of data set `corpus.source`; a row is its own source unless `corpus.source_field` names one.

    Raises BadInput when the package `datasets` is missing or the data set can't be had.
    """
    try:
        import datasets
    except ImportError as error:
        raise BadInput(
            f"hub data set '{corpus.source}' needs the package datasets", "pip install 'autointerp[hub]'"
        ) from error
    try:
        rows = datasets.load_dataset(corpus.source, name=corpus.config, split=corpus.hub_split, streaming=True)
        for number, row in enumerate(rows, start=1):
            document = document_of(row, f"{corpus.source}#{number}", corpus)
            if document is not None:
                yield document
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BadInput(
            f"can't read hub data set '{corpus.source}' ({reason})",
            "check its name, corpus.config, corpus.hub_split and the network, or give a local file",
        ) from error
