"""The table of output effects: what every sampled unit promotes and suppresses, or why that can't be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autointerp.records import Effects, Status, Unit, Unscored
from autointerp.rows import EffectsRow, state_of
from autointerp.subject.effects import OutputEffects
from autointerp.subject.forward import Subject
from autointerp.subject.scrambling import split_hook
from autointerp.tables import read_arrow, write_table
from autointerp.units.interface import Readout


def write_effects(
    path: Path,
    subject: Subject,
    drawn: Sequence[tuple[Readout, Sequence[Unit]]],
    scrambled: Mapping[str, Subject] | None = None,
) -> None:
    """Write one row per sampled unit; a readout's units are in its order. `scrambled`: subjects, by name."""
    subjects = {"": subject, **(scrambled or {})}
    effects = {name: OutputEffects(each) for name, each in subjects.items()}
    rows = []
    for readout, units in drawn:
        hook, name = split_hook(readout.hook)
        written = readout.writes(subject.widths[hook])
        found = [written] * len(units) if isinstance(written, Unscored) else effects[name].of(hook, written)
        for unit, each in zip(units, found, strict=True):
            told = Effects((), ()) if isinstance(each, Unscored) else each
            rows.append(EffectsRow(unit.unit, told.promoted, told.suppressed, *state_of(each)))
    write_table("effects", path, rows)


def read_effects(path: Path) -> dict[str, Effects | Unscored]:
    """The effects by unit; BadInput when the table is missing or damaged."""
    return {
        row["unit"]: Effects(tuple(row["promoted"]), tuple(row["suppressed"]))
        if row["status"] == Status.OK
        else Unscored(row["reason"])
        for row in read_arrow(path).to_pylist()
    }
