"""`python -m autointerp`, and the console script: errors become one line and an exit code."""

from __future__ import annotations

import codecs
import errno
import io
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from autointerp.errors import AutointerpError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "disk is full", "Disk quota exceeded")
_PLAIN = str.maketrans(dict(zip("\u2212\u2013\u2014\u2018\u2019\u201c\u201d", "---''\"\"", strict=True)))


def main() -> None:
    """Run the command line; never returns."""
    from autointerp.errors import AutointerpError, BadInput, Interrupted

    _write_anywhere()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        from autointerp.cli import app

        app()
    except AutointerpError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail(Interrupted()))
    except Exception as error:
        full = next((cause for cause in _causes(error) if _is_full(cause)), None)
        if full is None:
            raise
        remedy = "free some space; what was finished is kept, and the same command continues"
        sys.exit(_fail(BadInput(f"the disk is full ({full})", remedy)))
    sys.exit(0)


def _fail(error: AutointerpError) -> int:
    print(f"autointerp: {error}", file=sys.stderr)
    return error.exit_code


def _interrupt(number: int, frame: object) -> NoReturn:
    """SIGTERM ends what runs as Ctrl-C does."""
    raise KeyboardInterrupt


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    """Libraries that write from C have errors of their own."""
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)


def _write_anywhere() -> None:
    """Let a terminal that lacks a character (cp1252 has no minus sign) show the nearest that it has."""
    codecs.register_error("autointerp-nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="autointerp-nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wanted = error.object[error.start : error.end].translate(_PLAIN)
    return wanted.encode("ascii", "replace").decode("ascii"), error.end


if __name__ == "__main__":
    main()
