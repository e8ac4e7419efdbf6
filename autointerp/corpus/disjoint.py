"""The check that no document, source or text is in two splits."""

from __future__ import annotations

import pandas as pd

from autointerp.errors import CheckFailed


def assert_disjoint(documents: pd.DataFrame) -> None:
    """Check table `documents`: ids and text hashes are unique, and no source is in two splits.

    Raises CheckFailed, naming what is wrong.
    """
    for column, word in (("document", "document"), ("text_hash", "text")):
        twice = documents[documents[column].duplicated()]
        if len(twice):
            row = twice.iloc[0]
            raise CheckFailed(f"{word} {row[column]} is in the corpus twice (the second time from {row['source']})")
    _one_split_each(documents, "source")


def assert_contexts_follow(documents: pd.DataFrame, contexts: pd.DataFrame) -> None:
    """Check table `contexts` (columns context, split, document, source): ids are unique, and each context is in the
    split and source of its document.

    Raises CheckFailed, naming what is wrong.
    """
    twice = contexts[contexts["context"].duplicated()]
    if len(twice):
        raise CheckFailed(f"context {twice.iloc[0]['context']} is in the corpus twice")
    parents = documents.set_index("document").reindex(contexts["document"])
    for column in ("split", "source"):
        wrong = contexts[parents[column].to_numpy() != contexts[column].to_numpy()]
        if len(wrong):
            row = wrong.iloc[0]
            raise CheckFailed(
                f"context {row['context']} has {column} '{row[column]}', and its document {row['document']} has not"
            )


def _one_split_each(documents: pd.DataFrame, column: str) -> None:
    splits = documents.groupby(column)["split"].nunique()
    shared = splits[splits > 1]
    if len(shared):
        name = shared.index[0]
        names = sorted(set(documents.loc[documents[column] == name, "split"]))
        raise CheckFailed(f"{column} '{name}' is in {len(names)} splits: {', '.join(names)}")
