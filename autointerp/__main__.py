"""`python -m autointerp`, and the console script: errors become one line and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autointerp.errors import AutointerpError


def main() -> None:
    """Run the command line; never returns."""
    from autointerp.errors import AutointerpError, Interrupted

    try:
        from autointerp.cli import app

        app()
    except AutointerpError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail(Interrupted()))
    sys.exit(0)


def _fail(error: AutointerpError) -> int:
    print(f"autointerp: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
