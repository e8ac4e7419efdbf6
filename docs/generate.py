"""Writes `docs/study.md` and `docs/tables.md` out of the code: `make docs`. A test says when they are not current."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from autointerp import attribution_rows
from autointerp.rows import ROWS
from autointerp.study import Study
from autointerp.tables import SCHEMAS

HERE = Path(__file__).parent
HEAD = "<!-- Made by docs/generate.py from the code: edit that, then `make docs`. -->\n"
Schema = Mapping[str, Any]

_STUDY = f"""{HEAD}
# Every key of a study

A study is one TOML file. Every key has a default, which a run writes into its `study.toml`; an unknown key is refused,
with the nearest valid one. `--set section.key=value` overrides a key from the command line.
"""

_TABLES = f"""{HEAD}
# Every table of a run folder

Parquet files, each written whole or not at all; `run.table("scores")` reads one as a data frame. An unknown number is
null, never 0. `status` is `ok`, `excluded` or `unscored`, and what is not `ok` has its `reason`.
"""
_FILES = {
    "effects": "work/effects.parquet",
    "suggested": "browser/suggested.parquet",
    "comparison-of-runs": "comparison-of-runs.parquet of the folder that `compare` and several runs write",
    "variance_sources": "variance_sources.parquet of the folder that the verb `variance` writes",
    "benchmark": "benchmark.parquet of a benchmark's folder",
    "benchmark_scores": "scores.parquet of a benchmark's folder",
    "benchmark_sanity": "sanity.parquet of a benchmark's folder",
    "benchmark_recovery": "recovery.parquet of a benchmark's folder",
    **{name: f"{name}.parquet of the folder that `attribute` writes" for name in attribution_rows.TABLES},
    "self_explanations": "self_explanations.parquet of the folder that the verb `self-explain` writes",
    "faithfulness": "faithfulness.parquet of the folder that the verb `self-explain` writes",
    "faithfulness_summary": "faithfulness_summary.parquet of the folder that the verb `self-explain` writes",
    "toy": "toy.parquet of the folder that the verb `toy` writes",
    "toy_features": "toy_features.parquet of that folder",
    "toy_phases": "toy_phases.parquet of that folder",
    "toy_recovery": "toy_recovery.parquet of that folder",
}
"""Where a table is not NAME.parquet."""
_EVERYWHERE = {
    "unit": "Readable id: `feature/1234`, `neuron/17-`, `direction/3`.",
    "arm": "`feature` (`feature:NAME` with several SAEs), `neuron`, `neuron-sparse`, `direction`...",
    "replicate": "0: every replicate of a run is a folder of its own.",
    "context": "Id of a context.",
    "status": "`ok`, or what became of it.",
    "reason": "Why it is not `ok`; '' when it is.",
    "metric": "`pearson`, `spearman`, `auroc`... ([methods](methods.md))",
    "slice": "Which held-out contexts: `top-and-random`, `random-only`, `quantile-N`, `judged`.",
    "simulator": "Who predicts.",
    "judge": "Who judges.",
    "value": "The score; null when it is not `ok`.",
    "hook": "Where it is read.",
    "split": "`train`, `evidence`, `calibration` or `held-out`.",
    "document": "Number of the document.",
    "stratum": "`all`, `single-token` or `not-single-token`.",
    "method": "Simulator or judge.",
    "kind": "Kind of planted unit.",
    "half": "`development` or `test`.",
}
"""Columns that mean the same wherever they stand."""


def docstrings(source: type) -> dict[str, str]:
    """What stands beneath each field of a class, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(source.__mro__[:-1]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (TypeError, OSError):
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for node, following in pairwise(body):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(text, ast.Constant):
                found[node.target.id] = " ".join(str(text.value).split())
    return found


def tables_page() -> str:
    """`tables.md`."""
    parts = [_TABLES]
    for name, row in ROWS.items():
        said = docstrings(row)
        parts.append(f"\n## {name}\n\n{inspect.getdoc(row)} In `{_FILES.get(name, f'{name}.parquet')}`.\n")
        parts.append("| column | type | meaning |\n| --- | --- | --- |")
        for field in fields(row):
            meaning = _cell(_meaning(field.name, said))
            kind = str(SCHEMAS[name].field(field.name).type).replace("element: ", "").replace("item: ", "")
            parts.append(f"| `{field.name}` | {kind} | {meaning} |")
    return "\n".join(parts) + "\n"


def _meaning(column: str, said: Mapping[str, str]) -> str:
    meaning = said.get(column) or _EVERYWHERE.get(column)
    if meaning is None:
        raise SystemExit(f"column '{column}' has no docstring: write what it means beneath it, in its row class")
    return meaning


def study_page() -> str:
    """`study.md`."""
    schema = Study.model_json_schema()
    top = {key: value for key, value in schema["properties"].items() if not _section(value, schema)}
    parts = [_STUDY, "\n## At the top of the file\n", *_keys(top, schema, "")]
    for key, value in schema["properties"].items():
        if (section := _section(value, schema)) is not None:
            parts += [f"\n## {_title(key, value)}\n\n{_about(section)}\n", *_keys(section["properties"], schema, key)]
    return "\n".join(parts) + "\n"


def _title(key: str, value: Schema) -> str:
    if value.get("type") == "array":
        return f"[[{key}]]"
    return f"[{key}.NAME]" if "additionalProperties" in value else f"[{key}]"


def _about(section: Schema) -> str:
    return " ".join(str(section.get("description", "")).split())


def _section(value: Schema, schema: Schema) -> Schema | None:
    """The section of the study that a key is, if it is one."""
    for holder in (value, value.get("items", {}), value.get("additionalProperties", {}), *value.get("anyOf", ())):
        if isinstance(holder, dict) and "$ref" in holder:
            found: Schema = schema["$defs"][holder["$ref"].rpartition("/")[2]]
            return found
    return None


def _keys(keys: Mapping[str, Schema], schema: Schema, within: str) -> Iterator[str]:
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    below: list[tuple[str, Schema]] = []
    for key, value in keys.items():
        section = _section(value, schema)
        kind = "table" if section is not None else _type(value)
        yield f"| `{key}` | {_cell(kind)} | {_cell(_default(value))} | {_cell(_said(key, value, within))} |"
        if section is not None:
            below.append((key, section))
    for key, section in below:
        yield f"\n### {within}.{key}\n\n{_about(section)}\n"
        yield from _keys(section["properties"], schema, f"{within}.{key}")


def _said(key: str, value: Schema, within: str) -> str:
    said = " ".join(str(value.get("description", "")).split())
    if not said and within == "sae.train":
        from sae.recipe import Recipe

        said = docstrings(Recipe).get(key, "")
    if not said:
        raise SystemExit(f"study key {within}.{key} has no docstring: write what it means beneath it")
    return said


_WORDS = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "object": "table"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def _type(value: Schema) -> str:
    if "anyOf" in value:
        return " or ".join(_type(part) for part in value["anyOf"] if part.get("type") != "null") + ", or nothing"
    if "const" in value:
        return json.dumps(value["const"])
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}" if "items" in value else "list"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"table of {_type(value['additionalProperties'])}"
    bounds = [f"{word} {value[name]:g}" for name, word in _BOUNDS.items() if name in value]
    return ", ".join([_WORDS[value["type"]], *bounds])


def _default(value: Schema) -> str:
    if "default" not in value or isinstance(value["default"], dict) or value.get("items", {}).get("$ref"):
        return ""
    return "none" if value["default"] is None else f"`{json.dumps(value['default'])}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {"study.md": study_page, "tables.md": tables_page}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf8")


if __name__ == "__main__":
    main()
