"""What a bug report needs: what is installed and where, which devices and models are there, which endpoints answer.

Nothing is paid for, downloaded or converted, and no secret is told: of keys and headers whether they are set, of
addresses what `public_url` leaves of them, of paths below the home folder `~`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from autointerp.artifacts import user_cache
from autointerp.errors import BadInput
from autointerp.llm.anthropic.provider import AnthropicProvider
from autointerp.llm.capabilities import recall
from autointerp.llm.check import run_aside
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import EndpointRefusal
from autointerp.llm.open import open_provider
from autointerp.llm.openai.provider import OpenAIProvider
from autointerp.llm.providers import LOCAL, PROVIDERS, provider_traits
from autointerp.models.locate import builtin_file
from autointerp.models.sentences import sentence_file
from autointerp.run.manifest import versions
from autointerp.run.memory import available
from autointerp.study import Study
from autointerp.study_models import ENVIRONMENT, Llm

_ASKING = ("openai", "anthropic", "httpx2", "aiohttp", "tenacity", "llguidance", "huggingface-hub")
_EXTRAS = ("datasets", "tensorboard", "wandb", "noto-cjk-sans-jp-regular", "torchvision")
_VARIABLES = (
    "AUTOINTERP_CACHE", "HF_HOME", "HF_HUB_OFFLINE", "HF_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
    "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE",
)  # fmt: skip
_SHOWN = frozenset({"HF_HUB_OFFLINE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE"})
"""Those whose value is no path, no address and no secret."""
_GROUPS = ("explainers", "simulators", "judges", "units", "providers")
_PATIENCE = 10.0
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis."""

    about: str
    found: str
    wrong: bool = False
    """Whether this alone keeps something from working."""


def diagnose(study: Study | None) -> Iterator[Finding]:
    """Everything, part by part; endpoints are those of the study, and are asked for their list of models alone."""
    yield from _installed()
    yield from _machine()
    yield from _caches()
    yield from _models()
    for name, llm in sorted(study.llm.items()) if study is not None else ():
        yield from _endpoint(name, llm)


def _installed() -> Iterator[Finding]:
    found = versions()
    yield Finding("autointerp", found.pop("autointerp", "not installed"))
    yield Finding(
        "python", f"{found.pop('python')} on {platform.system()} {platform.release()}, {found.pop('machine')}"
    )
    cores = found.pop("cores")
    told = [f"{name} {number}" for name, number in found.items()]
    yield Finding("packages", ", ".join([*told, *(f"{name} {_version(name)}" for name in _ASKING)]))
    yield Finding("of choice", ", ".join(f"{name} {_version(name) or 'no'}" for name in _EXTRAS))
    points = [point for group in _GROUPS for point in importlib.metadata.entry_points(group=f"autointerp.{group}")]
    plugins = sorted({point.dist.name for point in points if point.dist is not None} - {"autointerp"})
    yield Finding("plug-ins", ", ".join(plugins) or "none")
    yield Finding("cores", f"{cores}, torch takes {torch.get_num_threads()}")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> Iterator[Finding]:
    free = available()
    yield Finding("free memory", "not told" if free is None else f"{free / _GIB:.1f} GiB")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            yield Finding(f"cuda:{number}", f"{device.name}, {device.total_memory / _GIB:.0f} GiB")
    else:
        built = "" if torch.version.cuda is None else f", though torch is built for CUDA {torch.version.cuda}"
        yield Finding("cuda", f"none{built}")
    for name in _VARIABLES:
        if (value := os.environ.get(name)) is not None:
            yield Finding(f"${name}", value if name in _SHOWN else "set")


def _caches() -> Iterator[Finding]:
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    for about, path in (("our cache", user_cache()), ("hub's cache", hub)):
        if not path.is_dir():
            yield Finding(about, f"{_short(path)}, not there yet")
            continue
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        writable = os.access(path, os.W_OK)
        told = "" if writable else ", and can't be written to"
        yield Finding(about, f"{_short(path)}, {size / _GIB:.2f} GiB{told}", wrong=not writable)


def _short(path: Path) -> str:
    try:
        return f"~/{path.absolute().relative_to(Path.home())}"
    except ValueError:
        return str(path)


def _models() -> Iterator[Finding]:
    offline: dict[str, Callable[[], Path]] = {"offline model": builtin_file, "sentence model": sentence_file}
    for about, find in offline.items():
        try:
            yield Finding(about, f"there, {find().name}")
        except BadInput as error:
            yield Finding(about, str(error), wrong=True)


def _endpoint(name: str, llm: Llm) -> Iterator[Finding]:
    about = f"llm.{name}"
    if llm.provider == LOCAL:
        yield Finding(about, f"'{llm.model}' in this process, {llm.dtype}")
        return
    if llm.provider not in PROVIDERS.names():
        yield Finding(about, f"provider '{llm.provider}' is not installed", wrong=True)
        return
    for variable in _variables(llm):
        missing = not os.environ.get(variable, "").strip()
        yield Finding(f"{about} key", f"${variable} is {'not set' if missing else 'set'}", wrong=missing)
    try:
        yield _asked(about, llm)
    except BadInput as error:
        yield Finding(about, f"'{llm.model}': {error}", wrong=True)


def _variables(llm: Llm) -> list[str]:
    named = llm.api_key_env or (provider_traits(llm).key_env if llm.base_url is None else None)
    headers = [match[1] for value in llm.headers.values() if (match := ENVIRONMENT.fullmatch(value))]
    return [variable for variable in (named, *headers) if variable]


def _asked(about: str, llm: Llm) -> Finding:
    """Whether it answers a request for its list of models, which costs nothing; what the last probe found."""
    provider = open_provider(llm.model_copy(update={"timeout": min(llm.timeout, _PATIENCE)}))
    probed = recall(provider.identity, llm.model)
    known = "" if probed is None else "; 'llm check' has found out what it can do"
    if not isinstance(provider, OpenAIProvider | AnthropicProvider):
        return Finding(about, f"{provider.identity}: of another package, not asked{known}")

    async def ask() -> object:
        try:
            return await provider.get("/models" if isinstance(provider, OpenAIProvider) else "/v1/models")
        finally:
            await provider.aclose()

    try:
        answer = run_aside(ask())
    except Transient as fault:
        return Finding(about, f"'{llm.model}', {provider.identity}: {fault.reason}{known}", wrong=True)
    if isinstance(answer, EndpointRefusal):
        told = f"answers {answer.status} to a request for its list of models ({answer.says})"
        return Finding(about, f"'{llm.model}', {provider.identity}: {told}{known}", wrong=answer.status in (401, 403))
    listed = answer.get("data") if isinstance(answer, dict) else None
    names = [entry.get("id") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    there = "" if llm.model in names or not names else f", and does not list this model among its {len(names):,}"
    return Finding(about, f"'{llm.model}', {provider.identity}: answers{there}{known}")
