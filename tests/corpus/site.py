"""A small installation: packages and a standard library in a folder, and a list of them."""

from __future__ import annotations

import json
import sysconfig
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from autointerp.corpus import listing


class Site:
    """An installation in a folder, first on the path; its standard library is `python3.11`, empty at first."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.pins = root / "site", dict[str, str]()
        (self.root / "python3.11").mkdir(parents=True)
        self.write("python3.11/topics.py", "x")
        monkeypatch.syspath_prepend(str(self.root))
        monkeypatch.setattr(sysconfig, "get_path", lambda key: str(self.root / "python3.11"))
        monkeypatch.setattr(listing, "LIST", root / "builtin.toml")

    def write(self, file: str, text: str) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf8")

    def install(
        self, name: str, files: dict[str, str], *fields: str, version: str = "1.0", editable: bool = False
    ) -> Distribution:
        """Install a package, listed from the next `list` on."""
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        own = {f"{info}/METADATA": "\n".join([*head, *fields, "", "About it."])}
        if editable:
            url = {"url": "file:///home", "dir_info": {"editable": True}}
            own[f"{info}/direct_url.json"] = json.dumps(url)
        for file, text in {**files, **own}.items():
            if not file.startswith(("/", "..")):
                self.write(file, text)
        self.write(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/METADATA"]))
        self.pins[name] = version
        return PathDistribution(self.root / info)

    def list(self) -> None:
        """List what was installed, and Python, as it is now."""
        constraints = self.root.parent / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in self.pins.items()), "utf8")
        listing.write_list(constraints)
