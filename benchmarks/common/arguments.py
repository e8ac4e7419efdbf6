"""The options that all benchmarks have."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import platformdirs


def benchmark_parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """A parser with --quick, --cache and --json. `quick`: what --quick leaves of the benchmark."""
    cache = Path(os.environ.get("AUTOINTERP_CACHE") or platformdirs.user_cache_dir("autointerp")) / "benchmarks"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--cache", default=str(cache), help="folder of what it installs and keeps (default %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    return parser
