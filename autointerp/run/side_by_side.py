"""Calls in processes of their own, several at a time: what is said, what fails, and how all of it is stopped.

Each process is a fresh interpreter that gets its call, pickled, through its standard input and gives its error back
through its standard output. The input stays open for as long as the call may go on: where it closes, because this
process was interrupted or has died in whatever way, the call is interrupted as by Ctrl-C. So no signal is handled here,
and none but this process gets those of the terminal. `multiprocessing` would run the user's own script again in each.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from autointerp.errors import AutointerpError, Interrupted
from autointerp.progress import say, speak_as

Call = tuple[str, Callable[[], None]]
"""What its lines begin with, and what is called: a function that can be imported, bound to what can be pickled."""
_PATIENCE = 20.0
"""Seconds in which an interrupted call may end by itself."""


def call_side_by_side(calls: Sequence[Call], at_once: int, remedy: str) -> None:
    """Call all of them, each in a process of its own, at most `at_once` at a time.

    After the first failure no other call is begun, and those under way come to their end before it is raised: an
    AutointerpError as it was raised there, and one that names `remedy` for a process that the system ended. At
    Ctrl-C, or any other error here, those under way are interrupted, and killed if that takes more than 20 seconds.
    """
    waiting, failures = list(calls), list[AutointerpError]()
    running: list[_Process] = []
    try:
        with selectors.DefaultSelector() as selector:
            while running or (waiting and not failures):
                while waiting and not failures and len(running) < at_once:
                    process = _Process(*waiting.pop(0))
                    running.append(process)
                    selector.register(process.output, selectors.EVENT_READ, process)
                    process.begin()
                for key, _ in selector.select():
                    selector.unregister(key.fileobj)
                    ended: _Process = key.data
                    failure = ended.end(remedy)
                    running.remove(ended)
                    if failure is not None:
                        failures.append(failure)
                        say(f"{ended.name} failed ({len(running)} others go on to their end): {failure}")
    finally:
        _stop(running)
    if failures:
        raise failures[0]


def _stop(running: Sequence[_Process]) -> None:
    try:
        for process in running:
            process.interrupt()
        for process in running:
            process.wait(_PATIENCE)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        say("not waiting any longer for the other processes: what they had not finished is made again")
    finally:
        for process in running:
            process.kill()


class _Process:
    """A call in a process of its own."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        path = os.pathsep.join(os.path.abspath(part) for part in sys.path)
        self.name = name
        self._call = call
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self.output = self._process.stdin, self._process.stdout

    def begin(self) -> None:
        """Hand the call over; a process that has ended already is noticed at its end."""
        with suppress(BrokenPipeError):
            self._input.write(pickle.dumps((self.name, self._call)))
            self._input.flush()

    def end(self, remedy: str) -> AutointerpError | None:
        """What it failed with, once its output is there or closed."""
        told = self.output.read()
        code = self._process.wait()
        self.kill()
        if code < 0:
            return AutointerpError(
                f"{self.name} was ended by the system ({_signal(-code)}), often for want of memory: {remedy}; the same "
                "command continues"
            )
        if code or not told:
            return AutointerpError(f"{self.name} ended with code {code} and told no reason: see what it said before")
        failure: AutointerpError | None = pickle.loads(told)
        return failure

    def interrupt(self) -> None:
        """Let it end as by Ctrl-C."""
        with suppress(BrokenPipeError):
            self._input.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end; subprocess.TimeoutExpired when that takes longer."""
        self._process.wait(seconds)

    def kill(self) -> None:
        """End it, if it has not ended, and close what belongs to it."""
        self._process.kill()
        self._process.wait()
        self.interrupt()
        self.output.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main() -> None:
    """The other side: make the call that comes through standard input, and write what it failed with."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed here is no answer
    try:
        name, call = pickle.load(sys.stdin.buffer)
    except EOFError:  # interrupted before it began
        sys.exit(Interrupted.exit_code)
    threading.Thread(target=_interrupt_at_the_end_of_input, daemon=True).start()
    speak_as(name)
    failure: AutointerpError | None = None
    try:
        call()
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)
    except AutointerpError as error:
        failure = error
    with output:
        pickle.dump(failure, output)


def _interrupt_at_the_end_of_input() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGINT)
