"""The manifest of a golden bundle: one JSON text that says what every file holds and hashes to.

It follows from the graph, the settings, the files' hashes and the provenance; the verifier derives
it again and compares, so nothing in it can be wrong without being seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fxp.archive import canonical_json
from fxp.ir import Node
from fxp.memories import Ground, Memory, memories_of, value_file
from fxp.node_fields import describe_node
from fxp.ranges import is_sum
from fxp.store import graph_hash

FORMAT = "stgcn-codesign-golden"
VERSION = 1
MANIFEST = "manifest.json"
MODEL = "model.fxp"


@dataclass(frozen=True, eq=False)
class Attachment:
    """A folder that another tool adds to a bundle; nothing here knows what is in it.

    Attributes:
        folder: its name within the bundle.
        about: JSON data that the manifest keeps under that name.
        files: bytes by path within the folder.
        entries: by the same paths, JSON data that the manifest keeps about a file.
    """

    folder: str
    about: Mapping[str, Any]
    files: Mapping[str, bytes]
    entries: Mapping[str, Mapping[str, Any]]

    def listed(self) -> list[dict[str, Any]]:
        """The manifest's entry of each file."""
        return [
            {
                "file": f"{self.folder}/{name}",
                "sha256": hashlib.sha256(text).hexdigest(),
                "bytes": len(text),
                **self.entries.get(name, {}),
            }
            for name, text in self.files.items()
        ]


def manifest_of(
    ground: Ground,
    sha256: Mapping[str, str],
    provenance: Mapping[str, Any],
    tool_version: str,
    attached: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest as JSON data, its own hash included; `sha256` is by file name.

    `attached` are the keys `attachments` and `attached` of `attached_keys`, if there are any.
    """
    graph, settings = ground.graph, ground.settings
    body = {
        "format": FORMAT,
        "version": VERSION,
        "tool_version": tool_version,
        "provenance": dict(provenance),
        "graph": {
            "name": graph.name,
            "hash": graph_hash(graph),
            "file": MODEL,
            "sha256": sha256[MODEL],
            "outputs": list(graph.outputs),
            "accumulator_bits": graph.accumulator_bits,
            "latency_frames": max(ground.timing[name].lookahead for name in graph.outputs),
        },
        "stimulus": value_file(graph.nodes[0].name),
        "frames": settings.frames,
        "lanes": settings.lanes,
        "taps": list(settings.taps),
        "snapshots": list(settings.snapshots),
        "stages": [_stage(node, ground) for node in graph.nodes],
        "files": [_file(memory, sha256[memory.file]) for memory in memories_of(ground)],
        **(attached or {}),
    }
    return {**body, "manifest_sha256": manifest_sha256(body)}


def attached_keys(attachments: Sequence[Attachment]) -> dict[str, Any]:
    """The manifest's keys about attachments: what each is about, and all their files."""
    if not attachments:
        return {}
    return {
        "attachments": {attachment.folder: attachment.about for attachment in attachments},
        "attached": [entry for attachment in attachments for entry in attachment.listed()],
    }


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """sha256 (hex) over the canonical JSON of all keys but `manifest_sha256`."""
    body = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def render(manifest: Mapping[str, Any]) -> bytes:
    """The one text of a manifest, a line per file and stage; any other byte is damage."""
    parts = []
    for key in sorted(manifest):
        value = manifest[key]
        text = _line(value)
        if key in ("files", "stages", "attached") and isinstance(value, list):
            text = "[\n" + ",\n".join(_line(item) for item in value) + "\n]"
        parts.append(f"{_line(key)}:{text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")


def _line(value: Any) -> str:
    return canonical_json(value).decode("ascii")


def first_difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Where two pieces of JSON data first differ, as `files[3].word_bits: expected 8, got 9`."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            if key not in found or key not in expected:
                return f"{path}.{key}: {'missing' if key in expected else 'unknown key'}".lstrip(
                    "."
                )
            difference = first_difference(expected[key], found[key], f"{path}.{key}".lstrip("."))
            if difference:
                return difference
        return None
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{path}: expected {len(expected)} entries, got {len(found)}"
        pairs = enumerate(zip(expected, found, strict=True))
        differences = (first_difference(a, b, f"{path}[{i}]") for i, (a, b) in pairs)
        return next((difference for difference in differences if difference), None)
    same = type(expected) is type(found) and expected == found
    return None if same else f"{path}: expected {expected!r:.80}, got {found!r:.80}"


def _stage(node: Node, ground: Ground) -> dict[str, Any]:
    """A node as the graph has it (rounding and overflow included), and the value it makes."""
    signal, (word_bits, signed) = ground.signals[node.name], ground.formats[node.name]
    timing = ground.timing[node.name]
    strided = {"period_frames": timing.period} if timing.period != 1 else {}
    return {
        "node": describe_node(node),
        "value": {
            "channels": signal.channels,
            "joints": signal.joints,
            "word_bits": word_bits,
            "signed": signed,
            "frac_bits": list(signal.frac_bits),
            "bound": [min(signal.lo), max(signal.hi)],
            "accumulator_bits": ground.widths[node.name] if is_sum(node) else None,
            "lookahead_frames": timing.lookahead,
            **strided,
        },
    }


def _file(memory: Memory, sha256: str) -> dict[str, Any]:
    layout = memory.layout
    entry = {
        "file": memory.file,
        "sha256": sha256,
        "role": memory.role,
        "node": memory.node,
        "value": memory.value,
        "shape": list(layout.shape),
        "axes": list(layout.axes),
        "lane_axis": layout.axes[layout.lane_axis],
        "lanes": layout.lanes,
        "groups": layout.groups,
        "word_bits": layout.word_bits,
        "signed": layout.signed,
        "frac_bits": list(memory.frac_bits),
        "frac_axis": memory.frac_axis,
        "words": layout.word_count,
        "line_bits": layout.line_bits,
        "digits": layout.digits,
    }
    return entry if memory.frame < 0 else {**entry, "after_frame": memory.frame}
