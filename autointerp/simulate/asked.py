"""Simulators that ask one question per explanation and context, through any endpoint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from autointerp.llm.request import Question
from autointerp.quoting import quoted
from autointerp.records import Context
from autointerp.simulate.asking import Asking, Group, Row


class Asked(Asking):
    """Predicts 0 to 9 at every token. A simulator says what it asks about one context, and how an answer is read."""

    @abstractmethod
    def question(self, explanation: str, context: Context) -> Question[Row]:
        """What is asked about one context, given an explanation on one line; read to one value per token."""

    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """One for each context."""
        return [self.question(explanation, context) for context in group]

    def by_index(self, explanation: str, context: Context) -> tuple[tuple[str, str], ...]:
        """The prompt, with the explanation and every token of the context as quoted data."""
        return self._prompt.render(explanation=quoted(explanation), tokens=[quoted(piece) for piece in context.pieces])
