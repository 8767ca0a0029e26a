"""A hash of the code that computes something: part of the key under which its result is kept."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

# Modules that only talk or read and write: their text decides no number.
NOT_COMPUTING = (
    "__main__",
    "console",
    "files",
    "golden",
    "hexmem",
    "manifest",
    "memories",
    "tables",
    "trace",
    "verify",
    "yaml_file",
)


@cache
def code_version(names: tuple[str, ...]) -> str:
    """sha256 (hex) of the source files of packages (not their subpackages) and single modules.

    The numbers that a package keeps in YAML files beside its modules belong to it.

    Read as files: nothing is imported, torch least of all.
    """
    digest = hashlib.sha256()
    for name in names:
        package, _, module = name.rpartition(".")
        root = resources.files(package or name)
        if module and (root / f"{module}.py").is_file():
            files = [root / f"{module}.py"]
        else:
            folder = resources.files(package) / module if package else root
            files = sorted(
                (f for f in folder.iterdir() if f.name.endswith((".py", ".yaml"))),
                key=lambda f: f.name,
            )
        for file in files:
            if file.name.removesuffix(".py") not in NOT_COMPUTING:
                digest.update(f"{name}/{file.name}\n".encode())
                digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()
