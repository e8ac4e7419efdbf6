"""A folder as others publish it: features that fire on one word each, top contexts and draws from five intervals."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.tables import read_table

WORDS = ("river", "music", "seven", "stone", "garden", "letter")
"""The word that each feature fires on, by its index."""
MODEL, SOURCE, LENGTH = "gpt2-small", "6-res-jb", 32
_FILLER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau".split()
_SHARES = (0.99, 0.004, 0.003, 0.002, 0.001)
"""Of all tokens that each of five intervals holds, the lowest first: they are silent on nearly all."""
Record = dict[str, Any]


def of_feature(index: int, **more: Any) -> Record:
    return {"modelId": MODEL, "layer": SOURCE, "index": str(index), **more}


def feature(index: int, **more: Any) -> Record:
    """As their exports have it, without what is not read."""
    told = {"frac_nonzero": 0.01, "maxActApprox": 10.0, "hookName": "blocks.6.hook_resid_pre", "hasVector": False}
    return of_feature(index, **told, pos_str=[f" {WORDS[index % 6]}s"], neg_str=[" no"], **more)


def explanation(index: int, text: str, **more: Any) -> Record:
    told = {"id": f"e{index}-{text[:5]}", "authorId": "someone", "typeName": "np_max-act", "notes": None}
    return (
        of_feature(index, description=text, **told, explanationModelName="gpt-4o-mini", scoreV1=0, scoreV2=None) | more
    )


def row(index: int, number: int, strength: float, bins: tuple[float, float, float], length: int = LENGTH) -> Record:
    """Distinct text in which the feature's word stands once, at a place of its own; at strength 0 it does not."""
    rng = np.random.default_rng([index, number])
    tokens = [f" {word}" for word in rng.choice(_FILLER, size=length)]
    place = int(rng.integers(4, length - 4))
    values = [0.0] * length
    if strength:
        tokens[place], values[place] = f" {WORDS[index % 6]}", strength
    return of_feature(
        index, id=f"a{index}-{number}", tokens=tokens, values=values, maxValue=strength, minValue=0.0,
        maxValueTokenIndex=place, creatorId="them", dataSource=None, dataIndex=None, qualifyingTokenIndex=place,
        **dict(zip(("binMin", "binMax", "binContains"), bins, strict=True)),
    )  # fmt: skip


def rows(index: int, tops: int = 26, each: int = 5) -> Iterator[Record]:
    """`tops` top contexts, strongest first, and `each` draws of every interval."""
    for number in range(tops):
        yield row(index, number, 10.0 - number / 10, (-1, 10, -1))
    for band, share in enumerate(_SHARES):
        for number in range(each):
            yield row(index, 1000 + 100 * band + number, 2.0 * band, (2.0 * band, 2.0 * band + 2, share))


def publish(
    folder: Path,
    features: Iterable[Mapping[str, Any]],
    explanations: Iterable[Mapping[str, Any]],
    activations: Iterable[Mapping[str, Any]],
    packed: bool = True,
) -> Path:
    """Write the bulk layout of one source."""
    for kind, records in (("features", features), ("explanations", explanations), ("activations", activations)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        data = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        path = folder / kind / ("batch-0.jsonl.gz" if packed else "batch-0.jsonl")
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def whole(folder: Path, count: int = 6, packed: bool = True) -> Path:
    """`count` features; each is explained rightly by one method, and the even ones as the next feature by another."""
    texts = [explanation(n, f'the word "{WORDS[n]}"') for n in range(count)]
    other = {"typeName": "oai_token-act-pair", "explanationModelName": "gpt-3.5"}
    texts += [explanation(n, f'the word "{WORDS[n + 1]}"', **other) for n in range(0, count, 2)]
    every = [record for n in range(count) for record in rows(n)]
    return publish(folder, map(feature, range(count)), texts, every, packed)


def cut(run: Path, folder: Path, units: int) -> Path:
    """A run's folder with the first units of each arm that can be scored, and all that it says of them."""
    folder.mkdir()
    known = read_table(run / "units.parquet").query("status == 'ok'")
    kept = set(known.groupby("arm").head(units)["unit"])
    for path in run.iterdir():
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            if "unit" in table:
                table = table[table["unit"].isin(kept)]
            table.to_parquet(folder / path.name, index=False)
        elif path.is_file() and path.name != "manifest.json":
            shutil.copy(path, folder)
    return folder
