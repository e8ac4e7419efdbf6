"""What is drawn of a saved attribution, without the model: the page, a picture per passage, and the words beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from autointerp.artifacts import write_text
from autointerp.attribution.attributors import METHODS
from autointerp.attribution.saved import LATENTS, SavedAttribution
from autointerp.attribution.trust import MEASURES, TrustLine, summary
from autointerp.metrics.intervals import Interval, Resampling
from autointerp.pages.writing import assets_of, copy_assets, data_script, page
from autointerp.plot.style import house_style, pt, save
from autointerp.quoting import visible

PLAN = Resampling(2000, 0.95)
CONVERGED = 0.1
"""Of the change (or of 1 nat): a larger convergence delta is said to be no convergence."""
SHOWN_LATENTS = 12
"""Of each output token, by size."""
_PICTURES = 12
"""Passages that get a picture of their own."""
_PACKAGE = "autointerp.attribution"
_NOTE = (
    "In probability of the output token, tokens being taken away as --baseline says; in brackets 95% over passages. "
    "After the semicolon: how much better than random on the same passages."
)
_BETTER = "by how much better than recency"
_BETTER_NOTE = "A method that does not beat recency says nothing of the model that the distance of tokens does not."


def draw(folder: Path) -> list[Path]:
    """Page, pictures and report.md of the tables in `folder`; what was written, the page first."""
    saved = SavedAttribution(folder)
    trust = _trust(saved)
    page_file = _page(saved, trust)
    pictures = _pictures(saved)
    report = folder / "report.md"
    write_text(report, _report(saved, trust))
    return [page_file, report, *pictures]


def _trust(saved: SavedAttribution) -> list[TrustLine]:
    rows = saved.faithfulness()
    return summary(rows, PLAN, int(saved.asked["settings"]["seed"])) if rows else []


def trust_table(trust: list[TrustLine]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a method each; its mean of every measure, and the difference to random."""
    head = ["method", "n", *(f"{measure} ({better} is better)" for measure, better in MEASURES.items())]
    methods = list(dict.fromkeys(line.method for line in trust))
    rows = []
    for method in methods:
        lines = {line.measure: line for line in trust if line.method == method}
        first = next(iter(lines.values()))
        cells = [_cell(lines[measure]) for measure in MEASURES]
        rows.append([method, f"{first.passages} ({first.targets})", *cells])
    return head, rows


def recency_table(trust: list[TrustLine]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: paired differences to recency, of every method that is not dumb."""
    rows = []
    for method in dict.fromkeys(line.method for line in trust):
        above = {line.measure: line.above_recency for line in trust if line.method == method}
        if all(each is not None for each in above.values()):
            rows.append([method, *(_interval(each, sign=True) for each in above.values() if each is not None)])
    return [_BETTER, *MEASURES], rows


def _cell(line: TrustLine) -> str:
    above = "" if line.above_random is None else f"; {_interval(line.above_random, sign=True)}"
    return f"{_interval(line.mean)}{above}"


def _interval(found: Interval, sign: bool = False) -> str:
    if found.value is None:
        return "none"
    value = f"{found.value:+.3f}" if sign else f"{found.value:.3f}"
    return value if found.low is None else f"{value} [{found.low:.3f}, {found.high:.3f}]"


def _page(saved: SavedAttribution, trust: list[TrustLine]) -> Path:
    folder = saved.folder / "page"
    head, rows = trust_table(trust)
    data = {
        "model": saved.asked["model"],
        "sae": saved.asked["sae"],
        "explanations": saved.asked["explanations"],
        "methods": [{"name": name, "label": METHODS[name].label} for name in saved.methods],
        "passages": [_passage(saved, number) for number in saved.passages],
        "trustHead": head,
        "trust": rows,
        "trustNote": _NOTE,
        "better": recency_table(trust),
        "betterNote": _BETTER_NOTE,
    }
    copy_assets(folder, _PACKAGE, ("attribution.js",))
    write_text(folder / "data.js", data_script("attribution", data))
    style = (assets_of(_PACKAGE) / "attribution.css").read_text("utf8")
    write_text(folder / "index.html", page("Attribution", ["assets/attribution.js"], style))
    return folder / "index.html"


def _passage(saved: SavedAttribution, number: int) -> dict[str, Any]:
    tokens = saved.of(number)
    prompt = int((tokens["part"] != "output").sum())
    targets = len(tokens) - prompt
    return {
        "pieces": tokens["piece"].tolist(),
        "prompt": prompt,
        "fixed": int((tokens["part"] == "fixed").sum()),
        "said": tokens["log_probability"].tolist()[prompt:],
        "matrices": {name: _rows(saved.matrix(number, name), prompt) for name in saved.methods},
        "latents": _latents(saved, number, targets),
        "errorShare": saved.asked["error_share"][number],
        "complete": saved.asked["complete"][number],
    }


def _rows(matrix: np.ndarray, prompt: int) -> list[list[float | None]]:
    """Per target the values of the positions before it, to four digits."""
    return [
        [None if np.isnan(value) else float(f"{value:.4g}") for value in matrix[: prompt + target, target]]
        for target in range(matrix.shape[1])
    ]


def _latents(saved: SavedAttribution, number: int, targets: int) -> list[list[list[float]]] | None:
    rows = saved.latents(number)
    if rows.empty:
        return None
    rows = rows[rows["latent"] >= 0]
    best = []
    for target in range(targets):
        mine = rows[rows["target"] == target]
        order = np.argsort(-mine["value"].abs().to_numpy(), kind="stable")[:SHOWN_LATENTS]
        position, latent, value = (mine[name].to_numpy()[order] for name in ("position", "latent", "value"))
        best.append([[int(p), int(k), float(f"{v:.4g}")] for p, k, v in zip(position, latent, value, strict=True)])
    return best


def _pictures(saved: SavedAttribution) -> list[Path]:
    written = []
    with house_style():
        for number in saved.passages[:_PICTURES]:
            for method in saved.methods:
                if not METHODS[method].dumb:
                    name = f"passage-{number}-{re.sub('[^a-z]+', '-', method)}"
                    written += save(picture(saved, number, method), saved.folder / "figures", name)
    return written


def picture(saved: SavedAttribution, number: int, method: str) -> Figure:
    """The matrix as a heat map: a column per token that is read, a row per output token; grey is not yet there."""
    tokens = saved.of(number)
    fixed = int((tokens["part"] == "fixed").sum())
    prompt = int((tokens["part"] != "output").sum())
    matrix = saved.matrix(number, method)[fixed:].T
    names = [_drawable(visible(piece)) or "…" for piece in tokens["piece"]]
    size = (max(6.5, 2.2 + 0.26 * matrix.shape[1]), max(3.2, 1.9 + 0.26 * matrix.shape[0]))
    figure = Figure(figsize=size, layout="constrained")
    panel = figure.subplots()
    most = float(np.nanmax(np.abs(matrix))) if np.isfinite(matrix).any() else 1.0
    panel.set_facecolor("0.9")
    image = panel.imshow(matrix, cmap="RdBu", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    panel.set_xticks(range(matrix.shape[1]), names[fixed:-1], rotation=90, family="monospace", fontsize=pt(8))
    panel.set_yticks(range(matrix.shape[0]), names[prompt:], family="monospace", fontsize=pt(8))
    panel.axvline(prompt - fixed - 0.5, color="0.3", linewidth=0.8)
    panel.set_xlabel("token read (the line: where the output begins)")
    panel.set_ylabel("token written")
    unit = "share" if method == "attention-rollout" else "nats"
    figure.colorbar(image, ax=panel, label=f"{unit}: for it (blue), against (red)", shrink=0.9)
    panel.set_title(f"{method}, {saved.asked['model'][:40]}", fontsize=pt(9))
    return figure


def _drawable(text: str) -> str:
    """What the font does not have as a box: pictures look alike wherever they are drawn."""
    font = get_font(findfont("DejaVu Sans Mono"))
    return "".join(c if font.get_char_index(ord(c)) else "▯" for c in text)


def _report(saved: SavedAttribution, trust: list[TrustLine]) -> str:
    lines = [
        f"# Attribution of {len(saved.passages)} passages",
        "",
        f"Model: {visible(str(saved.asked['model']))}.",
        "",
    ]
    head, rows = trust_table(trust)
    if rows:
        lines += ["## Is it faithful?", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", "n: passages (output tokens tried). " + _NOTE, ""]
        better, by = recency_table(trust)
        lines += [f"| {' | '.join(better)} |", f"|{' --- |' * len(better)}", *(f"| {' | '.join(row)} |" for row in by)]
        lines += ["", _BETTER_NOTE, "", *_stability(saved), *_completeness(saved)]
    else:
        lines += ["Its faithfulness was not measured (--tried 0), or no output token has two tokens before it.", ""]
    lines += [f"- {name}: {METHODS[name].label}" for name in saved.methods if METHODS[name].label]
    return "\n".join(lines) + "\n"


def _stability(saved: SavedAttribution) -> list[str]:
    found: dict[str, list[float]] = {}
    for row in saved.faithfulness():
        if row.stability is not None:
            found.setdefault(row.method, []).append(row.stability)
    return [
        f"Another seed of {method}: Kendall's tau-b {np.mean(values):.2f} on average (n = {len(values)})."
        for method, values in found.items()
    ]


def _completeness(saved: SavedAttribution) -> list[str]:
    lines = []
    for name in dict.fromkeys(name for each in saved.asked["complete"] for name in each):
        known = [each[name] for each in saved.asked["complete"] if name in each]
        off = np.abs(np.concatenate([each["delta"] for each in known]))
        change = np.abs(np.concatenate([each["change"] for each in known]))
        what = "the latents and errors" if name == LATENTS else name
        far = float(np.mean(off > CONVERGED * np.maximum(change, 1.0)))
        lines.append(
            f"Convergence delta of {what}: {np.median(off):.4f} nats in the median, at most {off.max():.4f}, of a "
            f"change of {np.median(change):.3f} in the median ({len(off)} output tokens). Of {far:.0%} it is more than "
            f"{CONVERGED:.0%} of the change: there the values are not what the method means; give more --steps."
        )
    shares = [share for each in saved.asked["error_share"] if each is not None for share in each]
    if shares:
        lines.append(f"The SAE's error takes {np.mean(shares):.0%} of all sizes on average: what no latent explains.")
    return [*lines, ""]
