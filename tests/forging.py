"""Files that no writer makes: a small graph's model file, taken apart, altered and put together."""

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.archive import content_hash
from fxp.errors import InputError
from fxp.ir import Conv, Graph, Input, Requantise, Weights
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.store import load_graph

Forgery = Callable[[dict[str, Any], dict[str, bytes]], object]


def small_graph(**changes: Any) -> Graph:
    weights = Weights(np.array([[1, -2], [3, 100], [-128, 7]]), 8, (4, 5, 6))
    nodes = (
        Input("input", 2, 3, QFormat(8, 2)),
        Conv("conv", "input", weights, np.array([0, 1000, -70000])),
        Requantise("conv.q", "conv", Cast(QFormat(6, 1), Rounding.RND_CONV, Overflow.WRAP), True),
    )
    graph = Graph("small", nodes, ("conv.q",), 24, {"classes": ["sit", "walk"], "rate_hz": 60.5})
    return dataclasses.replace(graph, **changes)


def parts(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The raw header and the other members."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    return json.loads(members.pop("header.json")), members


def forge(path: Path, header: Any, members: dict[str, bytes], rehash: bool = True) -> None:
    """Write a file that only its contents can give away, its content hash made right if asked."""
    if rehash:
        arrays = {}
        for name, data in members.items():
            if name.endswith(".npy"):
                part = path.with_suffix(".part")
                part.write_bytes(data)
                arrays[name.removesuffix(".npy")] = np.load(part)
        meta = {key: header[key] for key in ("format", "version", "kind", "content")}
        header["content_hash"] = content_hash(meta, arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", header if isinstance(header, str) else json.dumps(header))
        for name, data in members.items():
            archive.writestr(name, data)


def refused(path: Path, kind: type[InputError] = InputError) -> str:
    """The one line with which loading fails."""
    with pytest.raises(kind) as caught:
        load_graph(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")
