"""What one line of a batch's results comes to."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.llm.request import Answer


@dataclass(frozen=True)
class Unanswered:
    """The batch is done with a request, and has no answer to it."""

    reason: str
    """In words that group well."""
    again: bool
    """Whether another batch may do better: False for a request that the endpoint refuses."""
    billed: bool
    """Whether it may have been billed."""
    says: str = ""
    """The endpoint's own words, for the user to read once; '' when it has none."""


Outcome = Answer | Unanswered
"""An answer, or why there is none."""

FORM = "the endpoint refuses the request's form"
"""Reason of a request that goes into the next batch in another form."""
FAILED = "the batch interface failed on the request"
"""Reason without any better one."""
