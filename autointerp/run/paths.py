"""Files that one stage of a run leaves for another, by path in the run folder."""

from autointerp.llm.ledger import FILE_NAME as LEDGER

__all__ = ["BATCHES", "CANDIDATES", "EVIDENCE", "HELD_OUT", "LEDGER", "SPENDING", "TABLES", "TRAIN"]

TRAIN = "work/train.parquet"
CANDIDATES = "work/candidates.parquet"
EVIDENCE = "work/evidence.parquet"
HELD_OUT = "work/held-out.parquet"
TABLES = "work/token_tables.safetensors"
SPENDING = "spending.sqlite"
BATCHES = "batches.sqlite"
