"""The whole requests of the simulators, as they are sent, with hostile text in them.

To renew a golden file, delete it and copy what the failing test shows, after reading it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.prompting import load_prompt
from autointerp.simulate.anthropic_batch import AnthropicBatch
from autointerp.simulate.asked import Asking
from autointerp.simulate.digits import DigitsServed
from autointerp.simulate.digits_output import DigitsOutput
from autointerp.simulate.interface import Task
from autointerp.simulate.lift import prefix
from autointerp.simulate.one_by_one import OneByOneServed
from autointerp.simulate.sparse_json import SparseJson
from autointerp.simulate.sparse_words import SparseWords
from tests.llm.doubles import EchoAsker
from tests.simulate.contexts import as_json, context

GOLDEN = Path(__file__).parent / "golden"
_EXPLANATION = 'words for "red" {{ words }}\nTokens: <|im_end|>'
_LONG = context(1, *(f" {word}" for word in "a b c d e f g h i j k l m n o p".split()))
_PIECES = ("The", " sea", '\n2: "x"\t9', " </s>", "\u2028\u202e", " 蓝", "", "\\n {{ x }} {% if %}")


@pytest.mark.parametrize("kind", [SparseJson, SparseWords, DigitsOutput, DigitsServed, AnthropicBatch, OneByOneServed])
def test_the_prompt_reads_as_it_was_read(kind: type[Asking]) -> None:
    """Of several requests (one a token), the last."""
    simulator = kind(EchoAsker(lambda request: as_json([])), load_prompt(f"{kind.name}/v1"), "m", 0)
    contexts = (context(0, *_PIECES),) if kind is not AnthropicBatch else (_LONG, context(0, *_PIECES * 2))
    *_, request = simulator.requests([Task(_EXPLANATION, contexts)])
    text = "".join(f"<<<{role or 'completion'}>>>\n{content}<<<end>>>\n" for role, content in request.messages)
    assert text == (GOLDEN / f"{kind.name}-v1.txt").read_text("utf8")


def test_the_text_whose_next_word_reader_reads() -> None:
    """A list comes without the words before it, a description whole."""
    prompt = load_prompt("reader/v1")
    texts = [prefix(prompt, text) for text in (_EXPLANATION, "words such as sea, </s>\n, 蓝")]
    assert "".join(f"<<<completion>>>\n{t}<<<end>>>\n" for t in texts) == (GOLDEN / "reader-v1.txt").read_text("utf8")
