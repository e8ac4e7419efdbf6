"""One method of ours beside the package that it comes from: the same pairings, one server, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from common.environments import python_of
from common.workers import Worker

from autointerp.planted.pairings import PlantedPairing
from autointerp.planted.units import TRUE
from autointerp.quoting import cell
from methods import ours, rivals
from methods.outcome import Agreement, Outcome, Preference, Scored, agreement, preference
from methods.prompts import EXAMPLE, EXPLANATION, write_detection, write_simulation
from methods.rivals import DETECTOR, SIMULATOR, Rival
from methods.serving import Served, served

OURS, OURS_ITS_PROMPT, FILLED, ALIKE = (
    "autointerp", "autointerp, its prompt", "no digit = 0", "tokens written alike",
)  # fmt: skip
_T = TypeVar("_T")


@dataclass(frozen=True)
class Checked:
    """What came of it."""

    title: str
    outcomes: tuple[Outcome, ...]
    """Of ours, as it is and with the rival's prompt; the last one is the rival's."""
    how: str
    """What was run of the rival, with its version."""
    agreements: tuple[Agreement, ...]
    """Each of ours with the rival."""
    preferences: tuple[Preference, ...]
    """Of each outcome: can it tell a unit's own explanation from another unit's?"""


def simulation(place: ours.Place, url: str, pairings: Sequence[PlantedPairing], cache: Path) -> Checked:
    """`digits`, and neuron-explainer's simulator. Raises Unavailable when the rival can't take part."""
    with _worker(SIMULATOR, cache) as worker:
        (prompt,), version = rivals.prompts_of(worker, EXPLANATION, [[]])
        prompts = place.scratch / "its-simulation"
        write_simulation(prompts, prompt)
        outcomes = (
            *_twice(OURS, url, lambda: ours.simulate(place, pairings, None)),
            *_twice(OURS_ITS_PROMPT, url, lambda: ours.simulate(place, pairings, prompts, rivals.ALTERNATIVES)),
            _measured(SIMULATOR.name, url, lambda: rivals.simulate(worker, url, pairings)),
        )
    *of_ours, theirs = outcomes
    alike = of_ours[-1].only([written_alike(pairing) for pairing in pairings], ALIKE)
    title = "simulation, all at once: Pearson correlation over pooled tokens"
    agreements = _agreements([*of_ours, alike], theirs)
    return Checked(title, outcomes, _how(SIMULATOR, version), agreements, _preferences(outcomes, pairings))


def detection(place: ours.Place, url: str, pairings: Sequence[PlantedPairing], cache: Path) -> Checked:
    """`detection`, and Delphi's, on the items that ours draws. Raises Unavailable when the rival can't take part."""
    items = ours.drawn(place, pairings)
    with _worker(DETECTOR, cache) as worker:
        (messages,), version = rivals.prompts_of(worker, EXPLANATION, [[EXAMPLE]])
        prompts = place.scratch / "its-detection"
        write_detection(prompts, messages)
        outcomes = (
            _measured(OURS, url, lambda: ours.decide(place, pairings, None)),
            _measured(OURS_ITS_PROMPT, url, lambda: ours.decide(place, pairings, prompts)),
            _measured(DETECTOR.name, url, lambda: rivals.decide(worker, url, pairings, items)),
        )
    *of_ours, theirs = outcomes
    title, agreements = "detection: balanced accuracy", _agreements(of_ours, theirs)
    return Checked(title, outcomes, _how(DETECTOR, version), agreements, _preferences(outcomes, pairings))


CHECKS = (simulation, detection)


def written_alike(pairing: PlantedPairing) -> set[str]:
    """Tokens up to which a context's prompt is the same, letter by letter, in ours and in neuron-explainer's.

    It writes line breaks and tabs as they are, in the midst of its lines; ours escapes them, like all that can't be
    seen. What comes after the first such token is read after another text.
    """
    found: set[str] = set()
    place = count()
    for context in pairing.contexts:
        same = True
        for piece in context.pieces:
            token = next(place)
            same = same and cell(piece) == piece
            if same:
                found.add(str(token))
    return found


def _agreements(of_ours: Sequence[Outcome], theirs: Outcome) -> tuple[Agreement, ...]:
    return tuple(agreement(one, theirs) for one in of_ours)


def _preferences(outcomes: Sequence[Outcome], pairings: Sequence[PlantedPairing]) -> tuple[Preference, ...]:
    units, own = [pairing.unit.unit for pairing in pairings], [pairing.explanation == TRUE for pairing in pairings]
    return tuple(preference(outcome, units, own) for outcome in outcomes)


def _worker(rival: Rival, cache: Path) -> closing[Worker]:
    return closing(Worker(python_of(rival.environment, cache), f"methods.clients.{rival.module}"))


def _how(rival: Rival, version: str) -> str:
    return f"{rival.name} [{rival.environment.package.partition('==')[0]} {version}]: {rival.how}"


def _twice(scorer: str, url: str, score: Callable[[], tuple[list[Scored], list[Scored]]]) -> tuple[Outcome, Outcome]:
    """The same answers by our rule for what can't be read, and by the rival's."""
    (strict, filled), spent, seconds = _timed(scorer, url, score)
    return (
        Outcome(scorer, tuple(strict), spent, seconds),
        Outcome(f"{scorer}, {FILLED}", tuple(filled), spent, seconds),
    )


def _measured(scorer: str, url: str, score: Callable[[], list[Scored]]) -> Outcome:
    pairings, spent, seconds = _timed(scorer, url, score)
    return Outcome(scorer, tuple(pairings), spent, seconds)


def _timed(scorer: str, url: str, score: Callable[[], _T]) -> tuple[_T, Served, float]:
    """What `score` gives, what the server answered meanwhile, and the seconds."""
    print(f"{scorer} ...", file=sys.stderr, flush=True)
    before, start = served(url), time.perf_counter()
    result = score()
    seconds = time.perf_counter() - start
    return result, served(url).since(before), seconds
