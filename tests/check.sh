#!/usr/bin/env bash
# Every quality gate in one go: format, lint, types, import rules, tests. Stops at the first failure.
# Uses the tools on PATH (`pip install -e ".[test]"`); arguments go to pytest. WORKERS: processes.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

step() { printf '\n== %s\n' "$*"; "$@"; }

step ruff format --check .
step ruff check .
step mypy
step lint-imports
step pytest -n "${WORKERS:-2}" --dist loadfile "$@"
