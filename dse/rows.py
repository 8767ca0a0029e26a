"""Results that are kept one by one as JSON files, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fxp.files import replacing

Row = dict[str, Any]


def kept(path: Path, make: Callable[[], Row]) -> Row:
    """The row in `path`, made and written there if there is none.

    Raises:
        InputError: the file cannot be written; whatever `make` raises.
    """
    if not path.is_file():
        row = make()
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found
