"""SAELens' registry of published SAEs (`pretrained_saes.yaml`), packed: what a name means, and what no file says.

`registry.json.xz` is made by `python sae/published/pack.py` out of an installed SAELens, whose version it keeps.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from sae.errors import SaeError

PREFIX = "saelens:"
"""What a name of the registry begins with, wherever a checkpoint may be named."""

_LAYOUTS: Mapping[str | None, str] = {
    None: "saelens",
    "dictionary_learning_1": "dictionary_learning",
    "gemma_2": "gemma_scope",
    "gemma_2_transcoder": "gemma_scope",
    "gemma_3": "gemma_scope_2",
    "llama_scope": "llama_scope",
    "llama_scope_r1_distill": "llama_scope_r1",
    "qwen_scope": "qwen_scope",
    "mwhanna_transcoder": "circuit_tracer",
    "mntss_clt_layer_transcoder": "cross_layer_transcoder",
}
"""Layout by the name of SAELens' conversion; those that are not here can't be read."""


_EMBEDDINGS = "layers.0.resid_pre"
"""What SAELens calls `hook_embed`, in Gemma 2, the one model with such SAEs: it adds nothing to its embeddings."""


@dataclass(frozen=True)
class Published:
    """One SAE of the registry."""

    release: str
    sae_id: str
    repo: str
    """Of the hub."""
    path: str
    """Folder, or file, in it."""
    model: str
    """The subject, as the registry calls it."""
    conversion: str | None
    """SAELens' name for how its files become an SAE; None: they are SAELens' own."""
    hook: str | None
    """Where it reads, by SAELens' or our names; None: only its files say."""
    factor: float | None
    """What vectors are multiplied by before they are encoded."""
    overrides: Mapping[str, Any]
    """What stands in the place of the configuration's values."""
    neuronpedia: str | None
    """Its id there."""
    l0: float | None
    """Mean number of active latents, as its authors say."""

    @property
    def name(self) -> str:
        """`saelens:RELEASE/ID`."""
        return f"{PREFIX}{self.release}/{self.sae_id}"

    @property
    def layout(self) -> str | None:
        """Which of `sae.formats` reads it; None: none does."""
        return _LAYOUTS.get(self.conversion)

    @property
    def transcodes(self) -> bool:
        """Whether it is a transcoder, by its name."""
        return "transcoder" in f"{self.release}/{self.path} {self.conversion}"


@cache
def _table() -> dict[str, Any]:
    packed = files("sae.published").joinpath("registry.json.xz").read_bytes()
    found: dict[str, Any] = json.loads(lzma.decompress(packed))
    return found


def registry_version() -> str:
    """The version of SAELens whose registry this is."""
    return str(_table()["sae_lens"])


def every_published() -> Iterator[Published]:
    """All of them, release by release."""
    for release in _table()["releases"]:
        yield from _of(release).values()


@cache
def _of(release: str) -> dict[str, Published]:
    known = _table()["releases"][release]
    overrides = dict(known["overrides"])
    return {
        sae_id: Published(
            release=release,
            sae_id=sae_id,
            repo=known["repo"],
            path=sae_id if path is None else path,
            model=known["model"],
            conversion=known["conversion"],
            hook=_EMBEDDINGS if hook == "hook_embed" else hook,
            factor=factor,
            overrides=overrides | ({} if neuronpedia is None else {"neuronpedia_id": neuronpedia}),
            neuronpedia=neuronpedia,
            l0=l0,
        )
        for sae_id, path, hook, factor, neuronpedia, l0 in known["saes"]
    }


def published(name: str) -> Published:
    """The SAE called `saelens:RELEASE/ID`; SaeError says which of the two is unknown, and what is near."""
    release, _, sae_id = name.removeprefix(PREFIX).partition("/")
    releases = _table()["releases"]
    if release not in releases:
        raise SaeError(f"{name}: release '{release}' is not in SAELens' registry", _near(release, releases))
    saes = _of(release)
    if sae_id not in saes:
        raise SaeError(f"{name}: release '{release}' has no SAE '{sae_id}'", _near(sae_id, saes))
    return saes[sae_id]


def _near(value: str, valid: Mapping[str, object]) -> str:
    close = get_close_matches(value, valid, n=3, cutoff=0.4) or list(valid)[:3]
    return f"did you mean {' or '.join(repr(known) for known in close)}? ('autointerp sae list' shows all)"


def published_at(repo: str, path: str) -> Published | None:
    """What the registry knows of this place of the hub; where several names mean it, they agree on how it is read."""
    return _by_place().get((repo, path))


@cache
def _by_place() -> dict[tuple[str, str], Published]:
    found: dict[tuple[str, str], Published] = {}
    for known in every_published():
        found.setdefault((known.repo, known.path), known)
    return found


def published_like(pattern: str) -> list[Published]:
    """Those whose release, id, model or hook holds `pattern`, or matches it where it has `*` or `?`; in any case."""
    wanted = pattern.lower().removeprefix(PREFIX)
    shaped = wanted if any(sign in wanted for sign in "*?[") else f"*{wanted}*"

    def fits(known: Published) -> bool:
        texts = (f"{known.release}/{known.sae_id}", known.model, known.hook or "", known.conversion or "saelens")
        return any(fnmatchcase(text.lower(), shaped) for text in texts)

    return [known for known in every_published() if fits(known)]
