"""`python -m autointerp`, and the console script: errors become one line and an exit code."""

from __future__ import annotations

import sys

import click


def main() -> None:
    """Run the command line; never returns."""
    from autointerp.cli import app
    from autointerp.errors import AutointerpError

    try:
        app(standalone_mode=False)
    except AutointerpError as error:
        sys.exit(_fail(str(error), error.exit_code))
    except click.exceptions.Exit as finished:
        sys.exit(finished.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_fail("interrupted; the same command continues where this one stopped", 130))
    sys.exit(0)


def _fail(line: str, code: int) -> int:
    print(f"autointerp: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
