"""Make the committed bundles again and print what changed: `python -m tests.golden.regenerate`.

Files change only here, on purpose: read the printed differences before committing them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fxp.golden import bundle_files, write_bundle
from tests.golden.networks import CASES, Case, make

HERE = Path(__file__).parent
COMMAND = "python -m tests.golden.regenerate"


def write_case(name: str, case: Case, out: Path) -> None:
    """Write one bundle, its origin recorded in the manifest."""
    graph, clip = make(case)
    provenance = {
        "synthetic": True,
        "generator": COMMAND,
        "network": f"tests.golden.networks.{name}",
        "seed": case.seed,
    }
    write_bundle(graph, clip, out, lanes=case.lanes, provenance=provenance)


def differences(old: Path, new: Path) -> list[str]:
    """One line per file that was added, removed or changed; changed lines are counted."""
    before = set(bundle_files(old)) if old.is_dir() else set()
    after = set(bundle_files(new))
    lines = [f"removed {name}" for name in sorted(before - after)]
    for name in sorted(after):
        if name not in before:
            lines.append(f"added {name}")
            continue
        a, b = (folder.joinpath(name).read_bytes() for folder in (old, new))
        if a != b:
            x, y = a.split(b"\n"), b.split(b"\n")
            changed = sum(i != j for i, j in zip(x, y, strict=False)) + abs(len(x) - len(y))
            lines.append(f"changed {name} ({changed} lines)")
    return lines


def main() -> None:
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as scratch:
            new = Path(scratch) / name
            write_case(name, case, new)
            lines = differences(HERE / name, new)
        if lines:
            write_case(name, case, HERE / name)
        for line in lines or ["unchanged"]:
            sys.stdout.write(f"{name}: {line}\n")


if __name__ == "__main__":
    main()
