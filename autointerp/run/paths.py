"""Files that one stage of a run leaves for another, by path in the run folder."""

TRAIN = "work/train.parquet"
CANDIDATES = "work/candidates.parquet"
EVIDENCE = "work/evidence.parquet"
HELD_OUT = "work/held-out.parquet"
TABLES = "work/token_tables.safetensors"
LEDGER = "ledger.sqlite"
SPENDING = "spending.sqlite"
