"""Files that one stage of a run leaves for another, by path in the run folder."""

from autointerp.llm.ledger.ledger import FILE_NAME as LEDGER

__all__ = [
    "BATCHES", "CANDIDATES", "EFFECTS", "EVIDENCE", "HELD_OUT", "LEDGER", "REVISIONS", "SPENDING", "TABLES", "TRAIN",
]  # fmt: skip

TRAIN = "work/train.parquet"
CANDIDATES = "work/candidates.parquet"
EFFECTS = "work/effects.parquet"
EVIDENCE = "work/evidence.parquet"
HELD_OUT = "work/held-out.parquet"
TABLES = "work/token_tables.safetensors"
REVISIONS = "revisions.parquet"
SPENDING = "spending.sqlite"
BATCHES = "batches.sqlite"
