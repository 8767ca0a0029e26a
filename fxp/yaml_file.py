"""Reading YAML that others wrote: safely, each key once, and never larger than a person writes.

A file of a few hundred bytes can stand for billions of values (aliases of aliases), or for a value
that contains itself: what a file stands for is counted before anything walks through it.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from fxp.errors import InputError

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000  # keys and values of the whole file, aliases written out
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """A safe loader that takes no key twice: the first one would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value if key.tag != _MERGE]
        seen: set[tuple[str, str]] = set()
        for key in keys:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"key `{key.value[:80]}` is there twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file safely.

    Raises:
        InputError: the file is missing, unreadable, too large, not YAML, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read (no UTF-8 at byte {error.start})") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        found = yaml.load(text, _Loader)  # a safe loader
        values = _count(found, {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or "").split())[:120]
        raise InputError(
            f"{path}: not valid YAML{line}" + (f" ({problem})" if problem else "")
        ) from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep, or a value contains itself") from None
    except ValueError as error:  # a date that does not exist, an integer of thousands of digits
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())[:120]})") from None
    if values > MAX_VALUES:
        raise InputError(f"{path}: more than {MAX_VALUES} values, aliases written out")
    return found


def _count(value: Any, known: dict[int, int]) -> int:
    """Values in what was read, an alias counted each time; `known` has those of each container."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(value)]
