"""What we write, taken by Neuronpedia's own client and told by the fields of SAEDashboard.

Each is in an environment of its own, in a folder that the variable AUTOINTERP_RIVALS names:

    python -m venv RIVALS/neuronpedia && RIVALS/neuronpedia/bin/pip install neuronpedia==1.2.1
    python -m venv RIVALS/sae-dashboard && RIVALS/sae-dashboard/bin/pip install --no-deps sae-dashboard==0.8.0
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from autointerp.exchange.exporting import export
from tests.exchange.test_exporting import OF_ACTIVATION, OF_FEATURE, REFERENCE

HOW = {
    "neuronpedia": "pip install neuronpedia==1.2.1",
    "sae-dashboard": "pip install --no-deps sae-dashboard==0.8.0",
}
FIXTURES = Path(__file__).parent / "fixtures"


def environment(name: str) -> Path:
    root = os.environ.get("AUTOINTERP_RIVALS")
    folder = Path(root or "") / name
    if root is None or not folder.is_dir():
        pytest.skip(f"AUTOINTERP_RIVALS names no folder with an environment {name}/: {HOW[name]}")
    return folder


@pytest.mark.slow
def test_their_client_would_send_what_is_in_our_files(tmp_path: Path) -> None:
    python = environment("neuronpedia") / "bin" / "python"
    for path in export(REFERENCE, tmp_path).uploads.files:
        done = subprocess.run([str(python), str(FIXTURES / "client.py"), str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (sent,) = json.loads(done.stdout)
        assert (sent["method"], sent["path"]) == ("POST", "feature/upload-batch")
        assert sent["body"] == json.loads(path.read_text("utf8"))


def test_our_records_have_the_fields_of_saedashboards_batches() -> None:
    (path,) = environment("sae-dashboard").rglob("neuronpedia_dashboard.py")
    fields = {
        node.name.removeprefix("NeuronpediaDashboard"): [
            argument.arg
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name == "__init__"
            for argument in method.args.args[1:]
        ]
        for node in ast.parse(path.read_text("utf8")).body
        if isinstance(node, ast.ClassDef)
    }
    of_source = {"n_prompts_total", "n_tokens_in_prompt", "dataset"}  # theirs tells them of every feature
    assert set(fields["Feature"]) - of_source - {"feature_index", "activations"} <= set(OF_FEATURE)
    camel = {re.sub(r"_([a-z])", lambda match: match[1].upper(), name) for name in fields["Activation"]}
    assert {name for name in camel if not name.startswith("dfa")} <= set(OF_ACTIVATION)
    assert fields["Batch"] == ["model_id", "layer", "sae_set", "sae_id_suffix", "features"]
