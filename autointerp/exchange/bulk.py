"""The bulk layout: what their importer takes and their public exports hold, a folder per source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import hash_value
from autointerp.exchange.layout import SIDECAR, write_lines
from autointerp.exchange.outgoing import SentRow, SentSource, SentUnit, bin_of, numbers
from autointerp.hook_names import transformer_lens_name
from autointerp.records import Kind, Unit

_BATCH = 1024
"""Records a file, as in their exports."""
_BARS = 20
"""Of a histogram."""


@dataclass(frozen=True)
class Sender:
    """What every record says of where it is from."""

    model: str
    """The model's id over there."""
    creator: str
    """Id of the user whom records belong to over there."""
    release: str
    dataset: str
    """What the corpus is called."""


def write_bulk(folder: Path, sources: list[SentSource], sender: Sender) -> None:
    """Write a folder per source, with `release`, `model`, `sourceset`, `source`, and the records in batches of 1024."""
    for source in sources:
        place = folder / source.name
        for name, record in _about(source, sender).items():
            write_lines(place / f"{name}.jsonl", [record])
        keyed = [(unit, {"modelId": sender.model, "layer": source.name, "index": str(unit.index)})
                 for unit in source.units]  # fmt: skip
        features = [_feature(unit, key, source, sender) for unit, key in keyed]
        explanations = [found for unit, key in keyed for found in _explanations(unit, key, sender)]
        activations = [_activation(unit, n, key, sender) for unit, key in keyed for n in range(len(unit.rows))]
        for kind, records in (("features", features), ("explanations", explanations), ("activations", activations)):
            for number, batch in enumerate(_batches(records)):
                write_lines(place / kind / f"batch-{number}.jsonl.gz", batch)
        write_lines(place / SIDECAR, (_beside(unit, key) for unit, key in keyed))


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (records[first : first + _BATCH] for first in range(0, len(records), _BATCH))


def _about(source: SentSource, sender: Sender) -> dict[str, dict[str, Any]]:
    """The four records that a source hangs on."""
    about = f"Made by autointerp: the arm '{source.arm}' of a run, read at {source.hook}."
    owner = {"creatorId": sender.creator, "visibility": "PUBLIC"}
    return {
        "release": {"name": sender.release, "description": about, "creatorName": "autointerp", "urls": [], **owner},
        "model": {"id": sender.model, "instruct": False, "displayName": sender.model, "displayNameShort": sender.model,
                  "owner": "", "layers": int(source.layer) + 1, "inferenceEnabled": False, **owner},
        "sourceset": {"modelId": sender.model, "name": source.set_name, "description": about, "type": source.arm,
                      "creatorName": "autointerp", "releaseName": sender.release, "hasDashboards": True, "urls": [],
                      **owner},
        "source": {"modelId": sender.model, "id": source.name, "setName": source.set_name, "hasDashboards": True,
                   "inferenceEnabled": False, "dataset": sender.dataset, "notes": about, **owner},
    }  # fmt: skip


def _feature(unit: SentUnit, key: dict[str, str], source: SentSource, sender: Sender) -> dict[str, Any]:
    heights, middles = _histogram(unit.rows)
    correlated = {f"correlated_{what}_{column}": list[float]() for what in ("neurons", "features")
                  for column in ("indices", "pearson", "l1")}  # fmt: skip
    alignment = {f"neuron_alignment_{column}": list[float]() for column in ("indices", "values", "l1")}
    return {
        **key, "creatorId": sender.creator, "sourceSetName": source.set_name,
        "maxActApprox": float(unit.row["max_activation"]), "hasVector": False, "vector": [], "vectorLabel": None,
        "vectorDefaultSteerStrength": 10, "hookName": transformer_lens_name(source.hook), "topkCosSimIndices": [],
        "topkCosSimValues": [], **alignment, **correlated, "pos_str": [], "pos_values": [], "neg_str": [],
        "neg_values": [], "frac_nonzero": float(unit.row["density"]), "freq_hist_data_bar_heights": heights,
        "freq_hist_data_bar_values": middles, "logits_hist_data_bar_heights": [], "logits_hist_data_bar_values": [],
        "decoder_weights_dist": [],
    }  # fmt: skip


def _histogram(rows: tuple[SentRow, ...]) -> tuple[list[float], list[float]]:
    """Share of tokens per bar of the positive activations, by the random contexts; and the bars' middles."""
    drawn = [row.values for row in rows if row.kind == Kind.RANDOM]
    values = np.concatenate(drawn) if drawn else np.empty(0)
    if not (values > 0).any():
        return [], []
    counts, edges = np.histogram(values[values > 0], bins=_BARS)
    return (counts / values.size).tolist(), ((edges[1:] + edges[:-1]) / 2).tolist()


def _explanations(unit: SentUnit, key: dict[str, str], sender: Sender) -> Iterator[dict[str, Any]]:
    """One; none for a unit without. Names of methods and models must be known over there, so that they are null."""
    if isinstance(unit.text, str):
        yield {
            "id": _id("explanation", *key.values(), unit.text), **key, "description": unit.text,
            "authorId": sender.creator, "typeName": None, "explanationModelName": None,
            "notes": f"Written by '{unit.explainer}'. {unit.told.words}", "scoreV1": 0, "scoreV2": unit.told.value,
            "embedding": None,
        }  # fmt: skip


def _activation(unit: SentUnit, number: int, key: dict[str, str], sender: Sender) -> dict[str, Any]:
    row = unit.rows[number]
    low, high, contains = bin_of(row)
    values = numbers(row.values)
    return {
        "id": _row_id(key, number), "tokens": list(row.context.pieces), **key, "maxValue": max(values),
        "maxValueTokenIndex": row.peak, "minValue": min(values), "values": values, "creatorId": sender.creator,
        "dataSource": sender.dataset, "dataIndex": str(row.context.context), "dfaValues": [], "lossValues": [],
        "binMin": low, "binMax": high, "binContains": contains, "qualifyingTokenIndex": row.peak,
    }  # fmt: skip


def _row_id(key: dict[str, str], number: int) -> str:
    return _id("activation", *key.values(), str(number))


def _id(*parts: str) -> str:
    """An id of 25 characters, as theirs are; the same record has the same."""
    return f"c{hash_value(list(parts))[:24]}"


def _beside(unit: SentUnit, key: dict[str, str]) -> dict[str, Any]:
    """What the layout has no place for, so that an import here gives the same units and the same held-out contexts."""
    known = Unit.__dataclass_fields__
    return {
        **key, "unit": {name: value for name, value in unit.row.items() if name in known}, "explainer": unit.explainer,
        "rows": {_row_id(key, n): [row.context.split, row.kind, row.weight] for n, row in enumerate(unit.rows)},
    }  # fmt: skip
