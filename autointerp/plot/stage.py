"""The stage: every figure of a run again, from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from autointerp.compare.outcome import read_outcome
from autointerp.plot.accounts import coverage_and_cost
from autointerp.plot.adjusted import adjusted_differences
from autointerp.plot.by_layer import by_layer_and_width
from autointerp.plot.by_unit import against_evidence, own_against_shuffled, reliability
from autointerp.plot.distribution import distribution
from autointerp.plot.forest import forest
from autointerp.plot.measures import measures
from autointerp.plot.ratings import ratings
from autointerp.plot.replicates import replicates
from autointerp.plot.strips import StripReader, strips
from autointerp.plot.style import house_style, save


def plot(run_dir: Path, style: str | None = None, size: str | None = None) -> list[Path]:
    """Write the figures of a run to `figures/`, each as SVG and PNG; the same tables give the same bytes.

    `distribution` always; `forest` when the run has features and something to hold them against; `equal-determinism`
    when a difference could be adjusted; `measures` when it has scrambled subjects; `replicates` when it has several;
    `against-evidence` (density, entropy of peak tokens), `own-shuffled`, `reliability` and `coverage` when their
    numbers are there; `layers` when it has several hooks or widths; `ratings` when the run was rated;
    `strips-ARM` for every feature arm and the baseline, when they have a scored unit. `style` and `size`: see
    `house_style`. Raises BadInput when a table is missing.
    """
    outcome = read_outcome(run_dir)
    folder = run_dir / "figures"
    written: list[Path] = []
    with house_style(style, size):
        written += save(distribution(outcome), folder, "distribution")
        if outcome.feature_arms and any(outcome.contrasts(outcome.headline)):
            written += save(forest(outcome), folder, "forest")
        if any(row.difference is not None for row in outcome.adjusted):
            written += save(adjusted_differences(outcome), folder, "equal-determinism")
        reader = StripReader(outcome)
        wanted: dict[str, Callable[[], Figure | None]] = {
            "measures": lambda: measures(outcome),
            "replicates": lambda: replicates(outcome),
            "against-evidence": lambda: against_evidence(outcome),
            "own-shuffled": lambda: own_against_shuffled(outcome),
            "layers": lambda: by_layer_and_width(outcome),
            "reliability": lambda: reliability(outcome, reader),
            "coverage": lambda: coverage_and_cost(outcome),
            "ratings": lambda: ratings(outcome),
        }
        for name, draw in wanted.items():
            if (drawn := draw()) is not None:
                written += save(drawn, folder, name)
        for arm in [*outcome.feature_arms, *(b for b in outcome.baselines if b not in outcome.feature_arms)]:
            shown = reader.shown(arm)
            if shown:
                written += save(strips(shown, arm), folder, strips_name(arm))
    return written


def strips_name(arm: str) -> str:
    """File name, without suffix, of an arm's strips."""
    return "strips-" + arm.replace(":", "-")
