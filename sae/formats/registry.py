"""Every layout by its name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from sae.errors import SaeError
from sae.formats.circuit_tracer import CrossLayerTranscoder, PerLayerTranscoder
from sae.formats.dictionary_learning import DictionaryLearning
from sae.formats.gemma_scope import GemmaScope
from sae.formats.gemma_scope_2 import GemmaScope2
from sae.formats.interface import Format, Writable
from sae.formats.llama_scope import LlamaScope
from sae.formats.llama_scope_r1 import LlamaScopeR1
from sae.formats.qwen_scope import QwenScope
from sae.formats.saelens import SaeLens
from sae.formats.sparsify import Sparsify

FORMATS: Mapping[str, Format] = {
    layout.name: layout
    for layout in (
        SaeLens(),
        DictionaryLearning(),
        Sparsify(),
        GemmaScope(),
        GemmaScope2(),
        LlamaScope(),
        LlamaScopeR1(),
        QwenScope(),
        PerLayerTranscoder(),
        CrossLayerTranscoder(),
    )
}
"""What checkpoints are read as; the first whose files are there is taken."""


def writable_format(layout: str) -> Writable:
    """The layout of this name, which can be written; SaeError lists the names."""
    found = FORMATS.get(layout)
    if not isinstance(found, Writable):
        names = ", ".join(name for name, known in FORMATS.items() if isinstance(known, Writable))
        raise SaeError(f"layout '{layout}' {'is not known' if found is None else 'is only read'}", f"valid: {names}")
    return found
