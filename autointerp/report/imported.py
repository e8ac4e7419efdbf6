"""What is said of a run whose explanations were written elsewhere, from the file that the import leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autointerp.artifacts import read_json
from autointerp.compare.words import listed

IMPORTED = "import.json"
"""Beside the tables of a run whose explanations were imported."""
_SHOWN = 6
"""Sources that are named."""


def imported_of(run: Path) -> Mapping[str, Any] | None:
    """What was imported; None for a run of our own."""
    path = run / IMPORTED
    if not path.is_file():
        return None
    found = read_json(path)
    return found if isinstance(found, Mapping) else None


def sentences(run: Path) -> Iterator[str]:
    """What must be read beside the scores of published explanations; nothing for a run of our own."""
    told = imported_of(run)
    if told is None:
        return
    features = told["features"]
    if features["drawn"] > told["as_exported_here"]:
        yield (
            "The explanations were written elsewhere, and nobody says from which contexts. The "
            f"{told['seen']} contexts of every feature with the largest maxima count as seen, and neither they nor any "
            "that shares 16 tokens in a row with one of them scores anything. Whoever saw more, or other ones, has "
            "scores here that are too good."
        )
        yield (
            "The activations are taken as they were published: nothing here ran the model or its SAE. Held-out top "
            "contexts are the largest of those that are left, so that scores are not those of explanations on a "
            "unit's true top contexts."
        )
        yield (
            "Random contexts are draws from intervals of activation, as many of each as its share of the tokens says: "
            "nearly, and not quite, what a blind draw of text gives."
        )
    if told["without_random"]:
        yield (
            f"{told['without_random']} of {told['units']} units have no random contexts, since the intervals that were "
            "published for them leave out the text on which they are silent, or none were: their top contexts stand "
            "alone."
        )
    if features["drawn"] < features["there"]:
        yield (
            f"Of {features['there']:,} features {features['drawn']:,} were drawn, explained ones first "
            f"({features['explained']:,} are explained)."
        )
    left_out = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(told["left_out"].items()))
    if left_out:
        yield f"Of what was published this was not used as it is: {left_out}."


def provenance(told: Mapping[str, Any]) -> list[str]:
    """Where units, contexts and explanations are from, and that no model was run for them; plain text."""
    sources = told["sources"]
    more = f" and {len(sources) - _SHOWN:,} more" if len(sources) > _SHOWN else ""
    named = listed(sources) if not more else ", ".join(sources[:_SHOWN]) + more
    return [
        f"Published features and explanations: {named}, from the folder {told['folder']}.",
        f"Contexts of {told['context']} tokens, as published; the subject and its SAEs were not run.",
    ]
