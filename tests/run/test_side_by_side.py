"""Processes side by side: how many at a time, what they say, how they fail, and that nothing of them is left over."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError, BadInput, BudgetReached, CheckFailed, Interrupted
from autointerp.llm.ledger.replaying import UnrecordedRequest
from autointerp.run import memory, side_by_side
from autointerp.run.side_by_side import call_side_by_side
from tests.llm.doubles import request
from tests.run import calls

REMEDY = "set compare.side_by_side = 1"


def test_so_many_run_at_a_time_and_every_line_says_whose_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as `rich` sees it
    wanted = [
        (f"replicate {name}", partial(calls.meets, tmp_path, name, max(place, 2)))
        for place, name in enumerate("abc", 1)
    ]
    begin, end, alive = side_by_side._Process.begin, side_by_side._Process.end, [0]

    def begun(process: side_by_side._Process) -> None:
        alive.append(alive[-1] + 1)
        begin(process)

    def ended(process: side_by_side._Process, remedy: str) -> AutointerpError | None:
        alive.append(alive[-1] - 1)
        return end(process, remedy)

    monkeypatch.setattr(side_by_side._Process, "begin", begun)
    monkeypatch.setattr(side_by_side._Process, "end", ended)
    call_side_by_side(wanted, 2, REMEDY)
    assert alive == [0, 1, 2, 1, 2, 1, 0]
    under_way = [int((tmp_path / f"{name}.done").read_text()) for name in "abc"]
    assert max(under_way) == 2, "the first two met"
    shown = capfd.readouterr()
    assert shown.out == "", "what is printed there is no answer here"
    said = shown.err.splitlines()
    assert {f"replicate {name}: one of {number}" for name, number in zip("abc", under_way, strict=True)} < set(said)
    assert "\x1b" not in shown.err, "no bars that fight for the line"
    assert said.count("not an answer") == 3


@pytest.mark.parametrize(
    "error",
    [
        BadInput("no model 'x'", "name another"), BudgetReached("stopped by a limit"), CheckFailed("it did not hold"),
        UnrecordedRequest(request(), "e"), Interrupted(), None,
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_failure_arrives_as_it_was_and_costs_the_others_nothing(
    error: AutointerpError | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "say", lambda text: (tmp_path / "b.failed").write_text(text))
    wanted = [
        ("replicate 2", partial(calls.outlives, tmp_path, "a", "b")),
        ("replicate 3", partial(calls.fails, tmp_path, error, "a")),
        ("replicate 4", partial(calls.meets, tmp_path, "c", 1)),
    ]
    with pytest.raises(AutointerpError) as raised:
        call_side_by_side(wanted, 2, REMEDY)
    assert (tmp_path / "a.done").exists(), "it came to its end"
    assert not (tmp_path / "c.begun").exists(), "nothing is begun after a failure"
    if error is None:
        assert type(raised.value) is AutointerpError
        assert str(raised.value) == (
            "replicate 3 was ended by the system (SIGKILL), often for want of memory: set compare.side_by_side = 1; "
            "the same command continues"
        )
    else:
        assert type(raised.value) is type(error)
        assert str(raised.value) == str(error)
        assert vars(raised.value) == vars(error)
    said = (tmp_path / "b.failed").read_text()
    assert said == f"replicate 3 failed (1 others go on to their end): {raised.value}"


def test_a_fault_of_the_program_is_shown_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AutointerpError, match="replicate 2 ended with code 1 and told no reason: see what it said"):
        call_side_by_side([("replicate 2", calls.breaks)], 1, REMEDY)
    assert "in breaks\n" in capfd.readouterr().err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_where_this_process_ends_the_others_are_interrupted(sent: signal.Signals, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tests.run.calls import two_go_on; two_go_on(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE) as parent:
        calls.until(lambda: len(list(calls.pids(tmp_path))) == 2)
        others = list(calls.pids(tmp_path))
        parent.send_signal(sent)
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == -sent
    assert (b"KeyboardInterrupt" in said) == (sent is signal.SIGINT)
    calls.until(lambda: all((tmp_path / f"{name}.interrupted").exists() for name in "ab"))
    calls.until(lambda: not any(_lives(pid) for pid in others))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_error_survives_the_way() -> None:
    for error in (BadInput("a  b", "c"), UnrecordedRequest(request(), "e"), Interrupted(), CheckFailed("d")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.exit_code, vars(again)) == (
            type(error), str(error), error.exit_code, vars(error),
        )  # fmt: skip


def test_memory_is_what_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, resident = memory.available(), memory.most_resident()
    assert free is not None
    assert resident is not None
    assert 2**20 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    block = bytearray(b"x") * (resident // 2)
    assert (memory.most_resident() or 0) > resident or len(block) == 0
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    assert memory.available() is None, "where there is no such file"
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:       3 kB\n")
    assert memory.available() == 3072
