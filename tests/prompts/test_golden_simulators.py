"""The whole requests of the simulators, as they are sent, with hostile text in them.

To renew a golden file, delete it and copy what the failing test shows, after reading it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.prompting import load_prompt
from autointerp.simulate.asked import Asked
from autointerp.simulate.base import Task
from autointerp.simulate.digits_output import DigitsOutput
from autointerp.simulate.digits_served import DigitsServed
from autointerp.simulate.sparse_json import SparseJson
from tests.llm.doubles import EchoAsker
from tests.simulate.contexts import as_json, context

GOLDEN = Path(__file__).parent / "golden"
_EXPLANATION = 'words for "red" {{ words }}\nTokens: <|im_end|>'
_PIECES = ("The", " sea", '\n2: "x"\t9', " </s>", "\u2028\u202e", " 蓝", "", "\\n {{ x }} {% if %}")


@pytest.mark.parametrize("kind", [SparseJson, DigitsOutput, DigitsServed])
def test_the_prompt_reads_as_it_was_read(kind: type[Asked]) -> None:
    simulator = kind(EchoAsker(lambda request: as_json([])), load_prompt(f"{kind.name}/v1"), "m", 0)
    (request,) = simulator.requests([Task(_EXPLANATION, (context(0, *_PIECES),))])
    text = "".join(f"<<<{role or 'completion'}>>>\n{content}<<<end>>>\n" for role, content in request.messages)
    assert text == (GOLDEN / f"{kind.name}-v1.txt").read_text("utf8")
