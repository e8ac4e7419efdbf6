"""The folder of an attribution: its tables, written and read back; all that is drawn is drawn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp import attribution_rows
from autointerp.artifacts import hash_value, read_json, write_json
from autointerp.attribution.attributing import AttributedPassage, AttributionChoice, attribute
from autointerp.attribution.opening import OpenedModel
from autointerp.attribution.prompts import GivenPrompt
from autointerp.attribution_rows import AttributedLatentRow, AttributionFaithfulnessRow, AttributionRow, PassageTokenRow
from autointerp.errors import BadInput
from autointerp.tables import read_arrow, read_table, write_table
from sae.base import SparseAutoencoder

FILE = "attribution.json"
"""What was asked, and of which model."""
LATENTS = "latents"
"""What the attribution to an SAE's latents is called beside the methods."""


_WORK = "work"
"""Folder of the passages that are done, each a folder of tables of its own."""
_TABLES = tuple(attribution_rows.TABLES)


def attribute_into(
    folder: Path, opened: OpenedModel, prompts: Sequence[GivenPrompt], choice: AttributionChoice
) -> None:
    """Attribute every prompt, and write the tables of all of them into a folder.

    Each is kept as soon as it is done: an interrupted call goes on where it stopped, and what was asked before with the
    same model and choice is not computed again. Raises BadInput as `attribute` does.
    """
    parts = [folder / _WORK / _key(opened, given, choice) for given in prompts]
    missing = {part: given for part, given in zip(parts, prompts, strict=True) if not (part / FILE).is_file()}
    for part, passage in zip(missing, attribute(opened, list(missing.values()), choice), strict=True):
        write_tables(part, opened, [passage], choice)
    for name in _TABLES:
        each = (
            {**row, "passage": number}
            for number, part in enumerate(parts)
            for row in read_arrow(part / f"{name}.parquet").to_pylist()
        )
        write_table(name, folder / f"{name}.parquet", each)
    asked = [read_json(part / FILE) for part in parts]
    together = {key: [value for each in asked for value in each[key]] for key in ("complete", "error_share")}
    explanations = {latent: text for each in asked for latent, text in each["explanations"].items()}
    write_json(folder / FILE, {**asked[0], **together, "explanations": explanations})


def _key(opened: OpenedModel, given: GivenPrompt, choice: AttributionChoice) -> str:
    """Names a passage's tables by all that they depend on."""
    told = {key: value for key, value in asdict(choice).items() if key != "memory"}
    asked = {"model": opened.loaded.identity, "dtype": opened.loaded.precision, "choice": told, **asdict(given)}
    if (sae := opened.sae) is not None:
        known = sorted((int(latent), text) for latent, text in sae.explanations.items())
        asked["sae"] = [sae.name, sae.hook, known, _weights(sae.sae)]
    return hash_value(asked)[:32]


def _weights(sae: SparseAutoencoder) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(sae.tensors().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_tables(
    folder: Path, opened: OpenedModel, passages: Sequence[AttributedPassage], choice: AttributionChoice
) -> None:
    """The four tables, and last what was asked, into a folder."""

    def write(name: str, rows: Callable[[int, AttributedPassage], Iterable[object]]) -> None:
        each = (row for number, passage in enumerate(passages) for row in rows(number, passage))
        write_table(name, folder / f"{name}.parquet", each)

    write("passages", _token_rows)
    write("attributions", _matrix_rows)
    write("attributed_latents", _latent_rows)
    write("attribution_faithfulness", lambda _, passage: passage.faithfulness)
    write_json(folder / FILE, _asked(opened, passages, choice))


def _asked(opened: OpenedModel, passages: Sequence[AttributedPassage], choice: AttributionChoice) -> dict[str, Any]:
    known = {} if opened.sae is None else opened.sae.explanations
    used = {int(latent) for each in passages if each.latents is not None for latent in each.latents.latent}
    return {
        "model": opened.loaded.identity,
        "dtype": opened.loaded.precision,
        "settings": asdict(choice.settings),
        "tried": choice.tried,
        "sae": None if opened.sae is None else {"name": opened.sae.name, "hook": opened.sae.hook},
        "explanations": {str(latent): known[latent] for latent in sorted(used & set(known))},
        "complete": [
            {
                **{name: _completeness(m.delta, m.change) for name, m in each.matrices.items() if m.delta is not None},
                **({} if each.latents is None else {LATENTS: _completeness(each.latents.delta, each.latents.change)}),
            }
            for each in passages
        ],
        "error_share": [None if each.latents is None else each.latents.error_share().tolist() for each in passages],
    }


def _completeness(delta: Any, change: Any) -> dict[str, list[float]]:
    return {"delta": delta.tolist(), "change": change.tolist()}


def _token_rows(number: int, of: AttributedPassage) -> Iterator[PassageTokenRow]:
    passage = of.passage
    for position, (token, piece) in enumerate(zip(passage.ids, passage.pieces, strict=True)):
        target = position - passage.prompt
        part = "output" if target >= 0 else "fixed" if position < passage.fixed else "prompt"
        yield PassageTokenRow(
            number, position, token, piece, part, of.log_probabilities[target] if target >= 0 else None
        )


def _matrix_rows(number: int, of: AttributedPassage) -> Iterator[AttributionRow]:
    for method, matrix in of.matrices.items():
        for target in range(of.passage.targets):
            for position in range(of.passage.fixed, of.passage.before(target)):
                size = None if matrix.sizes is None else float(matrix.sizes[position, target])
                yield AttributionRow(number, method, target, position, float(matrix.values[position, target]), size)


def _latent_rows(number: int, of: AttributedPassage) -> Iterator[AttributedLatentRow]:
    if of.latents is None:
        return
    found = of.latents
    for target in range(of.passage.targets):
        before = of.passage.before(target)
        for entry in range(len(found.latent)):
            if (position := int(found.position[entry])) < before:
                yield AttributedLatentRow(
                    number, target, position, int(found.latent[entry]), float(found.activation[entry]),
                    float(found.value[entry, target]),
                )  # fmt: skip
        for position in range(of.passage.fixed, before):
            yield AttributedLatentRow(number, target, position, -1, None, float(found.error[position, target]))


class SavedAttribution:
    """Such a folder, read."""

    def __init__(self, folder: Path) -> None:
        """Raises BadInput for a folder that holds none."""
        if not (folder / FILE).is_file():
            raise BadInput(f"{folder} holds no attribution", "name the folder that `autointerp attribute` wrote")
        self.folder = folder
        self.asked: dict[str, Any] = read_json(folder / FILE)
        self.tokens = read_table(folder / "passages.parquet")
        self._values = read_table(folder / "attributions.parquet")
        self._latents = read_table(folder / "attributed_latents.parquet")

    @property
    def passages(self) -> list[int]:
        """Their numbers."""
        return [int(number) for number in self.tokens["passage"].unique()]

    @property
    def methods(self) -> list[str]:
        """Those whose matrices are kept, in the order in which they were computed."""
        return [str(name) for name in self._values["method"].unique()]

    def of(self, number: int) -> pd.DataFrame:
        """The tokens of a passage, in order."""
        return self.tokens[self.tokens["passage"] == number].reset_index(drop=True)

    def matrix(self, number: int, method: str) -> Float[np.ndarray, "position target"]:
        """A_ij, NaN where target j does not depend on position i, and at fixed positions."""
        tokens = self.of(number)
        targets = int((tokens["part"] == "output").sum())
        found = np.full((len(tokens) - 1, targets), np.nan)
        rows = self._values[(self._values["passage"] == number) & (self._values["method"] == method)]
        found[rows["position"].to_numpy(), rows["target"].to_numpy()] = rows["value"].to_numpy()
        return found

    def latents(self, number: int) -> pd.DataFrame:
        """Its rows of `attributed_latents`."""
        return self._latents[self._latents["passage"] == number]

    def faithfulness(self) -> list[AttributionFaithfulnessRow]:
        """Every row of that table."""
        table = read_table(self.folder / "attribution_faithfulness.parquet")
        rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
        blank = {"stability", "delta", "change"}
        return [
            AttributionFaithfulnessRow(
                **cast(Any, {k: None if k in blank and pd.isna(v) else v for k, v in row.items()})
            )
            for row in rows
        ]
