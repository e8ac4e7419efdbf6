"""Which units are rated, in which order, and which are shown with another unit's explanation.

Every unit and every explanation stands on a page once: a rater who met one twice would know that one of the two is a
decoy. So the decoys of an arm exchange their explanations among each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autointerp.artifacts import hash_file, rng_of
from autointerp.contexts.pairing import derangements
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.sharing import read_exemplars
from autointerp.errors import BadInput
from autointerp.rate.showing import PROMOTED, ShownWindow, windows
from autointerp.records import Status, Unscored
from autointerp.study import Study
from autointerp.tables import EFFECTS, read_arrow
from autointerp.units.interface import base_id, twin_id

_TRIES = 200
_LEAST_WITH_DECOYS = 4
"""Units of an arm, two of which may be decoys."""
NO_PROMOTED = Unscored("it promotes no tokens")
"""It has no output direction, or the run could not say what it promotes."""


@dataclass(frozen=True)
class PageChoice:
    """What a page is made of."""

    units: int = 12
    """Of each arm at most."""
    decoys: float = 0.25
    """Share of the items of each arm that are decoys; at least two where it is above 0 and the arm has four units."""
    logits: bool | None = None
    """Whether promoted tokens are shown; None: where the run has kept them."""
    seed: int = 0
    """Another seed draws other units, decoys and order."""


@dataclass(frozen=True)
class RatedUnit:
    """A unit that can be shown."""

    unit: str
    arm: str
    subject: str
    text: str
    """Its own explanation."""
    windows: tuple[ShownWindow, ...]
    promoted: tuple[str, ...]
    """The strongest first; empty where none are shown."""


@dataclass(frozen=True)
class ShownItem:
    """A unit with the explanation that it is shown with."""

    unit: RatedUnit
    explanation: RatedUnit
    """Whose explanation it is."""


@dataclass(frozen=True)
class DrawnItems:
    """The items of a page in their order, and what is not on it."""

    items: tuple[ShownItem, ...]
    logits: bool
    """Whether promoted tokens are shown."""
    left_out: Mapping[tuple[str, str], int]
    """(arm, why) -> units that could not be shown."""


def draw(study: Study, run: Path, choice: PageChoice) -> DrawnItems:
    """The items of all arms, decoys among them, in a seeded order.

    Order and draws depend on the run's tables besides the seeds: who has the page alone can't draw them again. Raises
    BadInput for a run without tables, without promoted tokens where they are asked for, or without a unit to show.
    """
    logits = (run / EFFECTS).is_file() if choice.logits is None else choice.logits
    if logits and not (run / EFFECTS).is_file():
        raise BadInput(f"{run} has not kept what its units promote ({EFFECTS})", "rate it with --without-logits")
    secret = hash_file(run / "evidence.parquet") + hash_file(run / "explanations.parquet")
    seeds = (study.seed, choice.seed, secret)
    units, left_out = _showable(run, logits, seeds)
    items: list[ShownItem] = []
    for arm, members in _apart(units, choice.units, seeds, left_out).items():
        items += _with_decoys(members, choice.decoys, rng_of(*seeds, "items", arm))
    if not items:
        reasons = "; ".join(f"{arm}: {reason}" for arm, reason in left_out)
        silent = any(reason == NO_PROMOTED.reason for _, reason in left_out)
        remedy = "rate it with --without-logits" if silent else "rate a run with explained units"
        raise BadInput(f"{run} has no unit that can be rated ({reasons})", remedy)
    order = rng_of(*seeds, "order").permutation(len(items))
    return DrawnItems(tuple(items[int(i)] for i in order), logits, left_out)


def _apart(
    units: Sequence[RatedUnit], most: int, seeds: tuple[int, int, str], left_out: Counter[tuple[str, str]]
) -> dict[str, list[RatedUnit]]:
    """Arm -> its drawn units: arms draw in turn, and none draws what stands on the page already.

    That is a unit in another arm (a neuron and its density-matched twin write the same tokens), and an explanation of
    the same words. What an arm lacks for this is counted in `left_out`.
    """
    arms = list(dict.fromkeys(unit.arm for unit in units))
    orders = {}
    for arm in arms:
        members = [unit for unit in units if unit.arm == arm]
        orders[arm] = [members[int(i)] for i in rng_of(*seeds, "units", arm).permutation(len(members))]
    drawn: dict[str, list[RatedUnit]] = {arm: [] for arm in arms}
    taken: set[str] = set()
    for _ in range(most):
        for arm in arms:
            while orders[arm]:
                unit = orders[arm].pop(0)
                marks = {base_id(twin_id(unit.unit)), f"text {' '.join(unit.text.split())}"}
                if not marks & taken:
                    taken |= marks
                    drawn[arm].append(unit)
                    break
                left_out[arm, "it or its explanation is on the page already"] += 1
    return drawn


def _showable(run: Path, logits: bool, seeds: tuple[int, int, str]) -> tuple[list[RatedUnit], Counter[tuple[str, str]]]:
    """The units with an explanation, contexts enough, and promoted tokens where they are shown; and the others."""
    rows = read_arrow(run / "units.parquet").to_pylist()
    texts = {row["unit"]: row for row in read_arrow(run / "explanations.parquet").to_pylist()}
    effects = {row["unit"]: row for row in read_arrow(run / EFFECTS).to_pylist()} if logits else {}
    exemplars = read_exemplars(run / "evidence.parquet")
    contexts = load_contexts(run / "contexts.parquet", {e.context for each in exemplars.values() for e in each})
    found, left_out = [], Counter[tuple[str, str]]()
    for row in rows:
        name, arm = row["unit"], row["arm"]
        if row["status"] == Status.EXCLUDED.value:
            continue
        told = texts.get(name)
        promoted = effects.get(name, {"status": "", "promoted": ()})
        shown = windows(exemplars.get(name, ()), contexts, rng_of(*seeds, "windows", name))
        if told is None or told["status"] != Status.OK.value or not told["text"].strip():
            left_out[arm, "no explanation"] += 1
        elif isinstance(shown, Unscored):
            left_out[arm, shown.reason] += 1
        elif logits and (promoted["status"] != Status.OK.value or len(promoted["promoted"]) < PROMOTED):
            left_out[arm, NO_PROMOTED.reason] += 1
        else:
            tokens = tuple(promoted["promoted"][:PROMOTED]) if logits else ()
            found.append(RatedUnit(name, arm, row.get("subject") or "", told["text"], shown, tokens))
    return found, left_out


def _with_decoys(units: Sequence[RatedUnit], share: float, rng: np.random.Generator) -> list[ShownItem]:
    """The first units as decoys, exchanging explanations of different texts; the others with their own."""
    count = max(2, round(share * len(units))) if share > 0 and len(units) >= _LEAST_WITH_DECOYS else 0
    for _ in range(_TRIES if count else 0):
        drawn = derangements(count, 1, rng)[0].tolist()
        pairs = [ShownItem(units[i], units[j]) for i, j in enumerate(drawn)]
        if all(pair.unit.text != pair.explanation.text for pair in pairs):
            return [*pairs, *(ShownItem(unit, unit) for unit in units[count:])]
    return [ShownItem(unit, unit) for unit in units]
