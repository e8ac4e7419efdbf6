"""From runs to the table, and the machine that they were measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from common.tables import aligned

from throughput.contestants import BARE, Contestant
from throughput.running import Run, Setting

_UNKNOWN = "?"


@dataclass(frozen=True)
class Row:
    """One contestant: medians over its runs, sums of what was counted."""

    name: str
    version: str
    requests: int
    """Per run."""
    rate: float
    slowest: float
    fastest: float
    of_ideal: float
    """Share of slots / latency."""
    cpu_ms: float
    above_sdk_ms: float | None
    """Median difference to the bare SDK's run of the same round; None where it was not run."""
    peak_mb: float | None
    growth_mb: float | None
    refused: int
    retries: int
    lost: int
    """Requests that came to no right answer."""
    disk_mb: float


def row(contestant: Contestant, runs: Sequence[Run], bare: Sequence[Run], setting: Setting) -> Row:
    """The row of `contestant`; `bare` are the bare SDK's runs of the same rounds."""
    rates = [run.rate for run in runs]
    above = [run.cpu_ms - base.cpu_ms for run, base in zip(runs, bare, strict=False)]
    return Row(
        name=contestant.name,
        version=runs[0].client.version,
        requests=runs[0].client.requests,
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        of_ideal=median(rates) / setting.ideal,
        cpu_ms=median(run.cpu_ms for run in runs),
        above_sdk_ms=median(above) if above and contestant != BARE else None,
        peak_mb=_median([run.client.peak_mb for run in runs]),
        growth_mb=_median([run.client.growth_mb for run in runs]),
        refused=sum(run.endpoint.refused for run in runs),
        retries=sum(run.retries for run in runs),
        lost=sum(run.client.requests - run.client.answered for run in runs),
        disk_mb=median(run.disk_mb for run in runs),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def table(rows: Sequence[Row]) -> str:
    """The rows, aligned."""
    head = "client|requests|req/s (min-max)|of ideal|CPU ms/req|above SDK|peak MB|growth MB|429s|retries|lost"
    lines = [head.split("|")]
    for r in rows:
        rate = f"{r.rate:.1f} ({r.slowest:.1f}-{r.fastest:.1f})"
        above = "" if r.above_sdk_ms is None else f"{r.above_sdk_ms:+.2f}"
        counts = [str(count) for count in (r.refused, r.retries, r.lost)]
        lines.append(
            [r.name, str(r.requests), rate, f"{r.of_ideal:.1%}", f"{r.cpu_ms:.2f}", above, _mb(r.peak_mb),
             _mb(r.growth_mb, "+"), *counts]
        )  # fmt: skip
    return aligned(lines)


def _mb(value: float | None, sign: str = "") -> str:
    return _UNKNOWN if value is None else f"{value:{sign}.1f}"


def endpoint(runs: Sequence[Run]) -> str:
    """Whether the endpoint itself was in the way."""
    cpu = median(1000 * run.endpoint.cpu_seconds / run.endpoint.requests for run in runs)
    most = max(run.endpoint.most_at_once for run in runs)
    return f"the endpoint's own CPU: {cpu:.2f} ms per request; at most {most} slots taken at once"


def memory(runs: Sequence[Run]) -> str:
    """What happens to our memory when there are more requests."""
    lines = ["memory of autointerp (answers go to the ledger on disk, not into memory):"]
    for run in runs:
        client = run.client
        lines.append(
            f"  {client.requests} requests: peak {_mb(client.peak_mb)} MB, growth over the last three quarters "
            f"{_mb(client.growth_mb, '+')} MB, on disk {run.disk_mb:.1f} MB"
        )
    return "\n".join(lines)


def as_json(run: Run) -> Mapping[str, Any]:
    """One run with everything that was measured."""
    return {"client": asdict(run.client), "endpoint": asdict(run.endpoint), "disk_mb": run.disk_mb}
