"""After the explanations are chosen: one row per unit, and its contexts of every split, in the run's tables.

Here and not in the explain stage, so that nothing that explains or chooses ever opens the held-out contexts.
"""

from __future__ import annotations

from pathlib import Path

from autointerp.contexts.sharing import read_exemplars
from autointerp.records import Status
from autointerp.tables import EVIDENCE, HELD_OUT, read_table, table_writer


def join(run: Path) -> None:
    """Write `evidence.parquet`: the evidence, then the held-out contexts, of the units in `units.parquet`."""
    units = read_table(run / "units.parquet", ["unit", "status"])
    sampled = units.loc[units["status"] != str(Status.EXCLUDED), "unit"]
    evidence, held_out = read_exemplars(run / EVIDENCE), read_exemplars(run / HELD_OUT)
    with table_writer("evidence", run / "evidence.parquet") as writer:
        for unit in sampled:
            for exemplar in (*evidence.get(unit, ()), *held_out.get(unit, ())):
                writer.add(exemplar)
