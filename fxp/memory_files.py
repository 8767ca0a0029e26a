"""A golden bundle's memories in the formats of other tools: one folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from fxp.axis import Extent, Framing, encode_beats, frame_beats, slot_for
from fxp.bundle import open_bundle, read_memory, read_value
from fxp.c_headers import INDEX, c_header, c_index
from fxp.coe_mif import coe, mif
from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.golden import file_sha256, tool_version
from fxp.interop.c_text import comment_text
from fxp.listed_folder import check_replaceable
from fxp.manifest import MANIFEST
from fxp.memories import Ground, Memory, memories_of, value_file
from fxp.store import graph_hash

LIST = "exported.json"
FORMAT = "stgcn-codesign-memories"
BYTES, TIGHT = 0, -1  # slots


class Form(StrEnum):
    """What a memory can be written as."""

    COE = "coe"
    MIF = "mif"
    C = "c"
    AXIS = "axis"


@dataclass(frozen=True, slots=True)
class Stream:
    """How values become beats (`fxp.axis`).

    `slot_bits` may be `BYTES`, the narrowest slot of whole bytes for each value, or `TIGHT`, none
    wider than its words.
    """

    tdata_bytes: int = 4
    slot_bits: int = BYTES
    row: Extent = Extent.FRAME
    packet: Extent = Extent.FRAME


@dataclass(frozen=True, slots=True)
class _File:
    """One file to write: its path and text, the file of the bundle behind it, facts about it."""

    path: str
    text: bytes
    source: str
    facts: dict[str, Any]


def export_memories(
    bundle: Path, out: Path, forms: Sequence[Form], stream: Stream | None = None
) -> dict[str, Any]:
    """Write the memories of a golden bundle into the folder `out`, a folder below it per form.

    `coe`, `mif` and `c` hold every memory; `axis` the input and those outputs that the bundle has.

    Args:
        bundle: the folder of a bundle.
        out: the folder; an empty one or an older export there is replaced.
        forms: what to write.
        stream: of `axis`; None for four bytes.

    Returns:
        The list of files as `exported.json` holds it.

    Raises:
        InputError: the bundle is damaged, `out` is something else than an export or lies in the
            bundle, or a stream that cannot be; nothing is written then.
    """
    ground, _ = open_bundle(bundle)
    if out.resolve().is_relative_to(bundle.resolve()):
        raise InputError(f"{out}: lies in the bundle {bundle}, which holds its own files only")
    check_replaceable(out, LIST, FORMAT, "an export")
    entries = []
    with replacing_folder(out) as folder:
        for form in forms:
            for file in _files(form, bundle, ground, stream or Stream()):
                path = f"{form}/{file.path}"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(file.text)
                sha256 = hashlib.sha256(file.text).hexdigest()
                entry = {"file": path, "form": form.value, "sha256": sha256, "source": file.source}
                entries.append(entry | file.facts)
        listed = {
            "format": FORMAT,
            "tool_version": tool_version(),
            "graph_hash": graph_hash(ground.graph),
            "bundle_manifest": file_sha256(bundle / MANIFEST),
            "files": entries,
        }
        (folder / LIST).write_text(f"{json.dumps(listed, indent=1)}\n", encoding="ascii")
    return listed


def _files(form: Form, bundle: Path, ground: Ground, stream: Stream) -> Iterator[_File]:
    memories = memories_of(ground)
    match form:
        case Form.COE | Form.MIF:
            for memory in memories:
                yield _words(form, bundle, memory, ground)
        case Form.C:
            headers = []
            for memory in memories:
                raw = read_memory(bundle / memory.file, memory.layout)
                headers.append(f"{memory.file.removesuffix('.hex')}.h")
                text = c_header(memory, ground.graph, raw)
                yield _File(headers[-1], text.encode("ascii"), memory.file, {})
            index = c_index(ground.graph, ground.settings.frames, headers)
            yield _File(INDEX, index.encode("ascii"), MANIFEST, {})
        case Form.AXIS:
            for name in dict.fromkeys((ground.graph.nodes[0].name, *ground.graph.outputs)):
                if name in ground.settings.taps:
                    yield _beats(bundle, name, ground, stream)
        case _:
            assert_never(form)


def _words(form: Form, bundle: Path, memory: Memory, ground: Ground) -> _File:
    words = (bundle / memory.file).read_text(encoding="ascii").split()
    bits = memory.layout.line_bits
    about = f"{memory.file} of graph {graph_hash(ground.graph)[:12]}, {len(words)} x {bits} bits"
    comment = comment_text(about.replace("/", " "))
    text = coe(words, comment) if form == Form.COE else mif(words, bits, comment)
    path = f"{memory.file.removesuffix('.hex')}.{form}"
    return _File(path, text.encode("ascii"), memory.file, {})


def _beats(bundle: Path, name: str, ground: Ground, stream: Stream) -> _File:
    words = read_value(bundle, ground, name)
    word_bits, signed = ground.formats[name]
    try:
        framing = Framing(
            stream.tdata_bytes,
            word_bits,
            signed,
            _slot_bits(stream, word_bits),
            stream.row,
            stream.packet,
        )
    except InputError as error:
        raise InputError(f"value `{name}`: {error}") from None
    frames, channels, joints = words.shape
    beats = frame_beats(framing, channels, joints)
    shape = {"frames": frames, "joints": joints, "channels": channels}
    facts = {"node": name, **shape, **asdict(framing), "slots": framing.slots}
    facts |= {"beats_per_frame": beats, "beats": frames * beats}
    return _File(f"{name}.axis", encode_beats(words, framing), value_file(name), facts)


def _slot_bits(stream: Stream, word_bits: int) -> int:
    if stream.slot_bits == TIGHT:
        return word_bits
    return stream.slot_bits or slot_for(word_bits)
