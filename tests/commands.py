"""Calling `python -m stgcn_ref` within a test, and the smallest network it can train."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from fxp.console import run
from fxp.spec import ArchSpec, load_spec
from stgcn_ref.__main__ import app

ARCH = "skeleton: hugadb\nin_channels: 6\nembedding: 4\nchannels: [8]\nwindow: 5\nclasses: 8\n"


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def call(*arguments: str) -> Done:
    out, err, code = io.StringIO(), io.StringIO(), -1
    with (
        patch.object(sys, "argv", ["stgcn_ref", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run(app)
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
    return Done(code, out.getvalue(), err.getvalue())


def arch_of(text: str, folder: Path) -> ArchSpec:
    path = folder / "arch.yaml"
    path.write_text(text)
    return load_spec(ArchSpec, path)
