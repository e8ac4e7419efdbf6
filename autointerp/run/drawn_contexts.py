"""Contexts for SAEs that come without a run: tokens of a corpus, drawn as a run draws them, without splits."""

from __future__ import annotations

from itertools import islice

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from autointerp.corpus.contexts import require_offsets, tokenise, window_starts
from autointerp.corpus.document import shortened, text_hash
from autointerp.corpus.duplicates import NearDuplicates
from autointerp.corpus.stage import open_documents
from autointerp.errors import BadInput
from autointerp.study_inputs import Corpus

_DOCUMENTS = 64  # tokenised together
_CHARACTERS_PER_TOKEN = 32  # of a long document no more than the head is used


def draw_contexts(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, seed: int) -> Int[np.ndarray, "context token"]:
    """Contexts of `corpus.tokens` tokens in all, at most `corpus.max_per_document` of one document, copies left out.

    Only the tokens are kept, so memory is 4 bytes per token. Raises BadInput when the corpus gives no context.
    """
    require_offsets(tokenizer)
    wanted = corpus.tokens // corpus.context
    if not wanted:
        raise BadInput(f"{corpus.tokens} tokens are less than a context of {corpus.context}", "raise --tokens")
    longest = _CHARACTERS_PER_TOKEN * corpus.context * corpus.max_per_document
    seen, rows = NearDuplicates(corpus.near_duplicate, seed), list[np.ndarray]()
    documents = open_documents(corpus, seed)
    while len(rows) < wanted and (batch := [shortened(d, longest) for d in islice(documents, _DOCUMENTS)]):
        for document, found in zip(batch, tokenise(tokenizer, [d.text for d in batch]), strict=True):
            key = (seed, text_hash(document.text))
            starts = window_starts(len(found.tokens), corpus.context, corpus.max_per_document, key)
            if starts and seen.add_if_new(document.text):
                rows += [found.tokens[start : start + corpus.context] for start in starts]
    if not rows:
        raise BadInput(
            f"corpus '{corpus.source}' has no document of {corpus.context} tokens",
            "lower --context, or give longer documents",
        )
    return np.stack(rows[:wanted])
