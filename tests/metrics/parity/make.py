"""Writes `scores.json`: scores that the references' own packages give for inputs that are in the file too.

One environment per package, since their requirements exclude each other:

    pip install automated-interpretability==0.0.24 && python tests/metrics/parity/make.py neuron-explainer
    pip install eai-delphi==0.1.3 && python tests/metrics/parity/make.py delphi
    pip install --no-deps sae-bench==0.6.0 && python tests/metrics/parity/make.py sae-bench
"""

from __future__ import annotations

import ast
import json
import sys
from importlib.metadata import files, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "scores.json"


def cases() -> list[dict[str, Any]]:
    """Sparse truths, and predictions of all qualities, in the truth's scale and in another."""
    rng = np.random.default_rng(0)
    made = []
    for tokens, density, noise, scale, shift in (
        (60, 0.3, 0.2, 1.0, 0.0), (60, 0.1, 1.0, 4.0, 2.0), (120, 0.5, 3.0, 0.2, -1.0), (40, 0.05, 0.0, 2.0, 0.5),
    ):  # fmt: skip
        truth = np.where(rng.random(tokens) < density, rng.exponential(2.0, tokens), 0.0)
        truth[0] = 3.0
        predicted = scale * (truth + noise * rng.normal(size=tokens)) + shift
        made.append({"truth": truth.round(6).tolist(), "predicted": predicted.round(6).tolist()})
    return made


def judgements() -> list[dict[str, Any]]:
    """Answers to yes-or-no questions with probabilities, some of them tied."""
    rng = np.random.default_rng(1)
    made = []
    for items, skill in ((10, 0.5), (40, 0.2), (40, 0.0), (25, -0.3)):
        truth = rng.random(items) < 0.5
        truth[:2] = [True, False]
        probability = np.clip(0.5 + skill * (2 * truth - 1) * rng.random(items) + 0.2 * rng.normal(size=items), 0, 1)
        made.append({"truth": truth.tolist(), "probability": probability.round(1).tolist()})
    return made


def neuron_explainer(rows: list[dict[str, Any]]) -> None:
    """Correlation, uncentred R squared and absolute deviation explained, and its linear calibration."""
    from neuron_explainer.explanations import scoring
    from neuron_explainer.explanations.calibrated_simulator import LinearCalibratedNeuronSimulator

    for row in rows:
        truth, predicted = row["truth"], row["predicted"]
        line = LinearCalibratedNeuronSimulator(None)
        line._calibrate_from_flattened_activations(np.array(truth), np.array(predicted))
        row["ev_correlation_score"] = float(scoring.correlation_score(truth, predicted))
        row["rsquared_score"] = scoring.rsquared_score_from_sequences(truth, predicted)
        row["absolute_dev_explained_score"] = scoring.absolute_dev_explained_score_from_sequences(truth, predicted)
        row["calibrated"] = [float(value) for value in line.apply_calibration(predicted)]


def delphi(rows: list[dict[str, Any]]) -> None:
    """Detection's balanced accuracy, F1 and AUROC."""
    import pandas as pd
    from delphi.log.result_analysis import compute_auc, compute_classification_metrics, compute_confusion

    for row in rows:
        frame = pd.DataFrame({"activating": row["truth"], "probability": row["probability"]})
        # Its threshold lets 0.5 count as yes; an answer of exactly 0.5 is none of ours, and left out of the inputs.
        frame["prediction"] = frame["probability"]
        found = compute_classification_metrics(compute_confusion(frame))
        row["balanced_accuracy"] = float(found["accuracy"])  # so it is called there
        row["f1_score"], row["auc"] = float(found["f1_score"]), float(compute_auc(frame))


def sae_bench(rows: list[dict[str, Any]]) -> None:
    """What its evaluation reads from answers, and scores: its own methods, without the rest of its module, which loads
    models."""
    (path,) = (file.locate() for file in files("sae-bench") or () if str(file).endswith("evals/autointerp/main.py"))
    (scorer,) = (
        node
        for node in ast.parse(Path(str(path)).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "AutoInterp"
    )
    wanted = ("parse_predictions", "score_predictions")
    scorer.body = [node for node in scorer.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names: dict[str, Any] = {"Examples": list}
    exec(compile(ast.Module([scorer], []), str(path), "exec"), names)
    theirs = names["AutoInterp"]()
    for row in rows:
        found = theirs.parse_predictions(row["answer"])
        shown = [SimpleNamespace(is_active=truth) for truth in row["truth"]]
        row["score"] = None if found is None else theirs.score_predictions(found, shown)


def lists() -> list[dict[str, Any]]:
    """Answers that name some of fourteen contexts, of which four are active."""
    rng = np.random.default_rng(2)
    made = []
    for answer in ("None", "None.", "1", "3, 4", "2,5, 9", "1, 2, 3 and 4", "4, 8, 12, 14", "7, 7", "all of them"):
        truth = np.isin(np.arange(14), rng.choice(14, 4, replace=False))
        made.append({"truth": truth.tolist(), "answer": answer})
    right = np.flatnonzero(made[0]["truth"]) + 1
    return [*made, {"truth": made[0]["truth"], "answer": ", ".join(map(str, right))}]


def main() -> None:
    """Bring one package's numbers up to date, and leave the other's."""
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    if sys.argv[1] == "neuron-explainer":
        rows = cases()
        neuron_explainer(rows)
        package = "automated-interpretability"
        known["simulations"] = {"by": f"{package} {version(package)}", "rows": rows}
    elif sys.argv[1] == "sae-bench":
        rows = lists()
        sae_bench(rows)
        known["lists"] = {"by": f"sae-bench {version('sae-bench')}", "rows": rows}
    else:
        rows = judgements()
        for row in rows:
            row["probability"] = [0.6 if p == 0.5 else p for p in row["probability"]]
        delphi(rows)
        known["judgements"] = {"by": f"eai-delphi {version('eai-delphi')}", "rows": rows}
    FILE.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
