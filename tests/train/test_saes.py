"""The train stage: from shards and from a live stream, broken off and continued, in one process and in several."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import autointerp
from autointerp.contexts.reading import read_batches
from autointerp.records import Split
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.subject.forward import Subject, open_subject
from autointerp.tables import TRAIN
from autointerp.train.saes import Journal
from autointerp.train.streams import SHARDS, live_vectors, read_shards, write_shards
from sae.training.trainer import TrainState
from tests.forked import Forked
from tests.small import HOOK, small_settings

OTHER = "layers.2.resid"
LIVE = ("training.shards=false", "training.buffer=300")
pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Files:
    """A study of three SAEs, two of them on one stream, and a run of its corpus stage."""

    settings: Mapping[str, Any]
    folder: Path

    def study(self, *overrides: str) -> Study:
        return parse_study(self.settings, overrides)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    settings = small_settings(folder)
    recipe = {"width": 32, "k": 4, "passes": 2, "batch": 128}
    settings["subject"]["hooks"] = [HOOK, OTHER]
    settings["sae"] = [
        {"name": "a", "hook": HOOK, "train": recipe},
        {"name": "b", "hook": HOOK, "train": {**recipe, "architecture": "standard", "resample": [0.5]}},
        {"name": "c", "hook": OTHER, "train": recipe},
    ]
    return Files(settings, folder)


def trained(run: Path) -> dict[str, torch.Tensor]:
    """The weights of all SAEs of a run."""
    found: dict[str, torch.Tensor] = {}
    for folder in sorted((run / "sae").iterdir()):
        weights = load_file(folder / "sae_weights.safetensors")
        found |= {f"{folder.name}/{key}": tensor for key, tensor in weights.items()}
    return found


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Contexts that the subject is run on, per call."""
    calls: list[int] = []
    original = Subject.activations

    def counting(self: Subject, tokens: np.ndarray) -> dict[str, torch.Tensor]:
        calls.append(len(tokens))
        return original(self, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(Subject, "activations", counting)
        yield calls


@pytest.mark.pipeline
@pytest.mark.parametrize(("overrides", "times"), [((), 1), (LIVE, 4)], ids=["shards", "live"])
def test_the_subject_runs_once_for_shards_and_once_per_pass_and_hook_for_a_live_stream(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], times: int
) -> None:
    study = files.study(*overrides)
    with counted(monkeypatch) as calls:
        autointerp.run(study, tmp_path, until="train")
    contexts = sum(len(b.contexts) for b in read_batches(tmp_path / TRAIN, Split.TRAIN, 8))
    assert sum(calls) == times * contexts
    assert not (tmp_path / SHARDS).exists()
    steps = {}
    for name in ("a", "b", "c"):
        rows = (tmp_path / "training" / name / "metrics.csv").read_text().splitlines()
        steps[name] = len(rows) - 1
        config = json.loads((tmp_path / "sae" / name / "cfg.json").read_text())
        assert config["metadata"]["hook_name"] == (OTHER if name == "c" else HOOK)
    assert set(steps.values()) == {2 * 16 * contexts // 128}


@pytest.mark.pipeline
def test_a_live_stream_and_shards_hold_the_same_vectors(files: Files, tmp_path: Path) -> None:
    study = files.study(*LIVE)
    autointerp.run(study, tmp_path, until="corpus")
    subject = open_subject(study.subject)
    write_shards(study, subject, "tiny", tmp_path, [HOOK])
    live, shards = live_vectors(study, subject, "tiny", tmp_path, HOOK), read_shards(tmp_path, HOOK)
    assert (live.count, live.d_in) == (shards.count, shards.d_in)
    rows = [torch.cat(list(s.batches(16, 1, 0))) for s in (live, shards)]
    ordered = [r[np.lexsort(r.numpy().T)] for r in rows]
    assert torch.equal(*ordered)
    assert not torch.equal(*rows)


@pytest.mark.pipeline
@pytest.mark.parametrize("overrides", [(), LIVE], ids=["shards", "live"])
def test_broken_off_and_continued_the_weights_are_the_same_bits(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    study = files.study("training.minutes=0", *overrides)
    autointerp.run(study, tmp_path / "whole", until="train")
    for stop in (2, 30):  # in the first stream, and late in it
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "add", _stopping(stop))
            with pytest.raises(KeyboardInterrupt):
                autointerp.run(study, tmp_path / "run", until="train")
    seen: list[int] = []
    original = Journal.add

    def noting(self: Journal, states: Mapping[str, TrainState]) -> None:
        seen.append(next(iter(states.values())).step)
        original(self, states)

    monkeypatch.setattr(Journal, "add", noting)
    autointerp.run(study, tmp_path / "run", until="train")
    assert seen[0] == 30, "it goes on where it was broken off"
    whole, continued = trained(tmp_path / "whole"), trained(tmp_path / "run")
    assert whole.keys() == continued.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, continued[name]), name
    csv = Path("training") / "a" / "metrics.csv"
    assert (tmp_path / "whole" / csv).read_bytes() == (tmp_path / "run" / csv).read_bytes()


def _stopping(step: int) -> Any:
    original = Journal.add

    def add(self: Journal, states: Mapping[str, TrainState]) -> None:
        if next(iter(states.values())).step >= step:
            raise KeyboardInterrupt
        original(self, states)

    return add


@pytest.mark.pipeline
def test_another_stream_means_another_training(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ('sae=[{name="a", hook="layers.1.mlp.neurons", train={width=8, k=2, passes=1, batch=128}}]',)
    weights = []
    for overrides in ((), ("training.buffer=9",), LIVE, ("training.shards=false", "training.buffer=301")):
        capsys.readouterr()
        autointerp.run(files.study(*only, *overrides), tmp_path, until="train")
        ran = "train done" in capsys.readouterr().err
        assert ran == (overrides != ("training.buffer=9",)), "without a live stream there is no buffer"
        weights.append(trained(tmp_path)["a/W_enc"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])


def _agree(one: Path, two: Path) -> None:
    """The trained weights of two runs, but for the order of sums."""
    ours, theirs = trained(one), trained(two)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert float((tensor - theirs[name]).norm()) <= 1e-3 * float(tensor.norm()), name


@pytest.mark.pipeline
@pytest.mark.slow
def test_torchrun_gives_what_one_process_gives(files: Files, tmp_path: Path) -> None:
    study = files.study("threads=1")
    autointerp.run(study, tmp_path / "one", until="train")
    (tmp_path / "study.toml").write_text(dump_study(study))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "autointerp", "train"]
    arguments = [str(tmp_path / "study.toml"), "--out", str(tmp_path / "two")]
    done = subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"train: done, in {tmp_path / 'two'}\n", "one of them tells"
    _agree(tmp_path / "one", tmp_path / "two")


@pytest.mark.pipeline
@pytest.mark.slow
def test_two_processes_on_a_live_stream_give_what_one_gives(files: Files, tmp_path: Path) -> None:
    study = files.study("threads=1", *LIVE)
    autointerp.run(study, tmp_path / "one", until="train")
    (tmp_path / "study.toml").write_text(dump_study(study))
    ended = [process.ends() for process in _pair(_TRAIN, str(tmp_path / "study.toml"), "--out", str(tmp_path / "two"))]
    assert [code for code, _, _ in ended] == [0, 0], ended
    _agree(tmp_path / "one", tmp_path / "two")


_TRAIN = """
import sys
from autointerp.__main__ import main
sys.argv.insert(1, "train")
main()
"""


def _pair(code: str, *arguments: str) -> list[Forked]:
    """Two processes that find each other, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    return [Forked(code, *arguments, environment={**place, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)]


_CHILD = """
import os, signal, sys
from autointerp.errors import AutointerpError
from autointerp.train.peers import follows, joined, summon, summoned
what = sys.argv[1]
try:
    with joined("cpu"):
        if follows():
            while summoned():
                print("trains", flush=True)
                if what == "both are training when it dies":
                    summoned()
        elif what == "nothing to do":
            pass
        elif what == "fails":
            raise AutointerpError("no such corpus")
        else:
            summon()
            os.kill(os.getpid(), signal.SIGKILL)
except AutointerpError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("what", "codes", "said"),
    [
        ("nothing to do", [0, 0], ""),
        ("fails", [2, 2], "another process of this run has ended before its time: see what it said\n"),
        ("both are training when it dies", [-signal.SIGKILL, 2], "trains\nanother process of this run has ended"),
    ],
)
def test_the_others_end_when_the_first_does(what: str, codes: list[int], said: str) -> None:
    outputs = [process.ends() for process in _pair(_CHILD, what)]
    assert [code for code, _, _ in outputs] == codes, outputs
    assert outputs[1][1].startswith(said)
    assert outputs[1][1] == said or what.endswith("dies")
