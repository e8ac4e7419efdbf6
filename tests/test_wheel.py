"""The wheel, in an environment of its own, outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_both_packages_and_every_prompt(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    prompts = {p.relative_to(ROOT / "prompts").as_posix() for p in (ROOT / "prompts").rglob("*.toml")}
    assert prompts
    assert {f"autointerp/_prompts/{name}" for name in prompts} <= names
    assert "autointerp/corpus/builtin.toml" in names
    assert {"autointerp/py.typed", "sae/py.typed", "autointerp/cli/__init__.py", "sae/training/train.py"} <= names
    assets = {p.relative_to(ROOT).as_posix() for p in (ROOT / "autointerp").glob("*/assets/*")}
    assert len(assets) > 15
    assert assets <= names
    assert not [name for name in names if name.startswith(("tests/", "results/", "benchmarks/"))]


def test_it_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """A fresh environment with the wheel alone; its dependencies are seen through a path file, not the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip())  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "autointerp" not in path.name and not path.name.endswith(".pth"):
            (dependencies / path.name).symlink_to(path)
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    code = (
        "import autointerp, sae; from autointerp.prompting import load_prompt; "
        "print(autointerp.__file__); print(load_prompt('lift/v1').identity)"
    )
    shown = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert str(tmp_path / "env") in shown.stdout
    assert "lift/v1@" in shown.stdout
    answer = subprocess.run(
        [str(python), "-m", "autointerp", "run", "none.toml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert answer.returncode == 2
    assert answer.stderr == "autointerp: no study file none.toml: see examples/ for one to start from\n"
