"""Does a server read the prompts that it is sent? Some cut what is longer than their context, and say nothing."""

from __future__ import annotations

from autointerp.errors import BadInput
from autointerp.progress import say

_ALIKE = 3
"""Prompts of different lengths that count as many tokens: more than chance gives, where that is the most seen."""
_APART = 1.1
"""By how much they must differ in length to be no accident."""
_LONG, _LEAST = 2000, 256
"""Characters of a prompt, and tokens, under which no server's context is: fewer tell nothing."""
_ADVICE = "raise the server's context (num_ctx in Ollama, --ctx-size in llama.cpp, --max-model-len in vLLM)"


class PromptLengths:
    """Watches the counts of prompt tokens that an endpoint gives."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._most = 0
        self._at_most: list[int] = []
        self._said = False

    def add(self, characters: int, tokens: int | None) -> None:
        """A prompt of so many characters counted so many tokens (None: it was not said).

        Two long prompts of different lengths with one count, the highest of all, are told; the third ends the run, in
        BadInput: what is simulated from a prompt that was cut is about another prompt.
        """
        if tokens is None or characters < _LONG or tokens < max(self._most, _LEAST):
            return
        if tokens > self._most:
            self._most, self._at_most = tokens, [characters]
            return
        if any(max(characters, other) < _APART * min(characters, other) for other in self._at_most):
            return
        self._at_most.append(characters)
        lengths = ", ".join(f"{length:,}" for length in sorted(self._at_most))
        told = f"{self._where} counts {tokens:,} tokens in prompts of {lengths} characters: it seems to cut long ones"
        if len(self._at_most) >= _ALIKE:
            raise BadInput(told, f"{_ADVICE}; what was answered before is kept")
        if not self._said:
            self._said = True
            say(f"  {told}; if so, {_ADVICE}")
