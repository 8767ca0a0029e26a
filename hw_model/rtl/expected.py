"""What the engine must write and give out, line by line, from the words of the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fxp.hexmem import Layout, encode
from fxp.ir import IntArray, TemporalSum
from hw_model.passes import Pass
from hw_model.rtl.design import Design
from hw_model.rtl.fields import MODE_VECTOR
from hw_model.rtl.timing import clip_timing
from hw_model.rtl.values import Frame

Fields = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines in the order in which one port of the engine has them.

    `words` (n, lanes), each of `bits` bits; `address` (n,) where they are written, or for outputs
    `2 * id + last`; `frame` (n,) of the input, `made` (n,) the position of the pass and `result`
    (n,) the number of the line within it.
    """

    words: IntArray
    bits: int
    address: IntArray
    frame: IntArray
    made: IntArray
    result: IntArray

    @property
    def line_bits(self) -> int:
        """Bits of a line's words, up to whole hex digits."""
        return int(4 * -(-self.words.shape[1] * self.bits // 4))

    def text(self) -> bytes:
        """A hex memory: eight digits of address, then the words, lane 0 least significant."""
        layout = Layout(self.words.shape, ("line", "lane"), 1, self.bits, True, self.words.shape[1])
        data = encode(self.words, layout)
        lines = np.frombuffer(data, np.uint8).reshape(len(self.words), layout.digits + 1)
        where = Layout((len(self.words),), ("line",), 0, 32, False)
        places = np.frombuffer(encode(self.address, where), np.uint8).reshape(-1, 9)[:, :8]
        return np.concatenate([places, lines], axis=1).tobytes()


def input_lines(design: Design, clip: IntArray) -> Lines:
    """The stimulus: joint by joint, group by group; the address is 1 on a clip's last line."""
    ground = design.ground
    frame = ground.frames[ground.graph.nodes[0].name]
    padded = np.pad(clip, ((0, 0), (0, -clip.shape[1] % ground.lanes), (0, 0)))
    words = padded.transpose(0, 2, 1).reshape(-1, ground.lanes)  # (T * V * G, lanes)
    count = len(words)
    last = (np.arange(count) == count - 1).astype(np.int64)
    number = np.arange(count) // frame.lines
    nothing = np.zeros(count, np.int64)
    bits = design.parameters["IN_BITS"]
    return Lines(words, bits, last, number, nothing, np.arange(count) % frame.lines)


def loaded_lines(design: Design, clip: IntArray) -> Lines:
    """What loading writes into the memory of the input, line by line as `input_lines`."""
    lines, ground = input_lines(design, clip), design.ground
    name = ground.graph.nodes[0].name
    place, frame = ground.places[name], ground.frames[name]
    joint, group = lines.result // frame.groups, lines.result % frame.groups
    slot = (lines.frame + 1) % place.slots if place.ring else np.zeros_like(lines.frame)
    where = place.base + slot * place.lines + group * frame.joints + joint
    bits = design.values[place.memory][0]
    return Lines(lines.words, bits, where, lines.frame, np.full_like(where, -1), lines.result)


def held_lines(design: Design, clip: IntArray, ports: Mapping[str, Lines]) -> dict[str, Lines]:
    """The newest line at each address of each memory when a run has ended, by `<port>.end`.

    Addresses that nobody wrote are missing. `ports` is what `expected_lines` gave.
    """
    memory = design.ground.places[design.ground.graph.nodes[0].name].memory
    written = {name: [lines] for name, lines in ports.items() if name != "outputs"}
    written.setdefault(f"values{memory}", []).append(loaded_lines(design, clip))
    return {f"{name}.end": newest_lines(parts) for name, parts in written.items()}


def newest_lines(parts: Sequence[Lines]) -> Lines:
    """Of each address the line that was written last; loading comes before pass 0."""
    columns = ("words", "address", "frame", "made", "result")
    words, address, frame, made, result = (
        np.concatenate([getattr(lines, column) for lines in parts]) for column in columns
    )
    order = np.lexsort((result, made, frame))[::-1]  # newest first
    _, first = np.unique(address[order], return_index=True)
    kept = order[first]
    return Lines(words[kept], parts[0].bits, address[kept], frame[kept], made[kept], result[kept])


def expected_lines(design: Design, values: Mapping[str, IntArray], frames: int) -> dict[str, Lines]:
    """What every port must see: `outputs`, `values<m>`, and `fifo` and `totals` where sums are.

    Args:
        design: the network on the engine.
        values: words `(T_value, C, V)` of every value that leaves a pass and of what temporal sums
            read and make, from the simulator.
        frames: frames of the input.
    """
    return _Expected(design, values, frames).ports()


class _Expected:
    def __init__(self, design: Design, values: Mapping[str, IntArray], frames: int) -> None:
        self.design, self.ground, self.values = design, design.ground, values
        self.moved = {timing.frame: timing.issues for timing in clip_timing(design, frames)}
        self.parts: dict[str, list[tuple[Any, ...]]] = {}

    def ports(self) -> dict[str, Lines]:
        for at, (planned, fields) in enumerate(
            zip(self.ground.passes, self.design.passes, strict=True)
        ):
            times = np.array([t for t, issues in self.moved.items() if at in issues], np.int64)
            if fields.get("is_clip_mean"):
                times = times[-1:]  # it adds at the others
            self._emits(at, planned, fields, times)
            for slot, name in planned.slots:
                if slot == "sum":
                    self._sum(at, name, fields, times)
        return {port: self._joined(port, parts) for port, parts in self.parts.items()}

    def _emits(self, at: int, planned: Pass, fields: Fields, times: IntArray) -> None:
        for name in planned.emits:
            frame, place = self.ground.frames[name], self.ground.places.get(name)
            order = result_order(fields, frame)
            lines = self._lines(name, frame, len(times))[:, order]
            if place:
                slot = np.array([self._slot(fields, t) for t in times]) % place.slots
                slot = slot if place.ring else np.zeros_like(slot)
                where = place.base + slot[:, None] * place.lines + order
                self._add(f"values{place.memory}", lines, where, times, at)
            if name in self.ground.graph.outputs:
                last = np.arange(len(order)) == len(order) - 1
                where = 2 * self.ground.graph.outputs.index(name) + last.astype(np.int64)
                self._add("outputs", lines, np.broadcast_to(where, lines.shape[:2]), times, at)

    def _sum(self, at: int, name: str, fields: Fields, times: IntArray) -> None:
        node = next(node for node in self.ground.graph.nodes if node.name == name)
        assert isinstance(node, TemporalSum)
        frame = self.ground.frames[name]
        order = result_order(fields, frame)
        for port, value, slots, base in (
            ("fifo", node.x, node.window * node.dilation, fields["fifo_base"]),
            ("totals", name, node.dilation, fields["total_base"]),
        ):
            lines = self._lines(value, frame, len(times))[:, order]
            slot = np.array([self._slot(fields, t) for t in times]) % slots
            self._add(port, lines, base + slot[:, None] * frame.lines + order, times, at)

    def _slot(self, fields: Fields, frame: int) -> int:
        """Rings begin at slot 1: they move on before a frame is written."""
        return int((frame - fields["pass_lag"]) // (fields["period_mask"] + 1)) + 1

    def _lines(self, name: str, frame: Frame, count: int) -> IntArray:
        return frame_lines(self.values[name], frame)[:count]

    def _add(self, port: str, lines: IntArray, where: IntArray, times: IntArray, at: int) -> None:
        count, width = lines.shape[:2]
        self.parts.setdefault(port, []).append(
            (
                lines.reshape(count * width, -1),
                where.reshape(-1),
                np.repeat(times, width),
                np.full(count * width, at),
                np.tile(np.arange(width), count),
            )
        )

    def _joined(self, port: str, parts: list[tuple[Any, ...]]) -> Lines:
        words, where, frame, made, result = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        order = np.argsort(frame * len(self.ground.passes) + made, kind="stable")
        bits = self._bits(port)
        return Lines(words[order], bits, where[order], frame[order], made[order], result[order])

    def _bits(self, port: str) -> int:
        if port.startswith("values"):
            return self.design.values[int(port.removeprefix("values"))][0]
        names = {"outputs": "OUT_BITS", "fifo": "FIFO_BITS", "totals": "TOTAL_BITS"}
        return self.design.parameters[names[port]]


def frame_lines(x: IntArray, frame: Frame) -> IntArray:
    """`(T, C, V)` to lines in the order of memory: `(T, lines, lanes)`, pad lanes zero."""
    count, _, joints = x.shape
    parts, lanes = frame.partitions, frame.lanes
    split = x.reshape(count, parts, -1, joints)
    padded = np.pad(split, ((0, 0), (0, 0), (0, -split.shape[2] % lanes), (0, 0)))
    cut = padded.reshape(count, parts, frame.groups, lanes, joints)
    return cut.transpose(0, 2, 4, 1, 3).reshape(count, frame.lines, lanes)  # (T, G V P, lanes)


def result_order(fields: Fields, frame: Frame) -> IntArray:
    """Which line of the frame each result of a pass is: partitions go outside the joints."""
    lines = np.arange(frame.lines)
    if fields["mode"] == MODE_VECTOR:
        return lines
    return lines.reshape(frame.groups, frame.joints, -1).transpose(0, 2, 1).reshape(-1)


def wanted_values(design: Design) -> tuple[str, ...]:
    """Values whose words `expected_lines` needs."""
    found: list[str] = []
    nodes = {node.name: node for node in design.ground.graph.nodes}
    for planned in design.ground.passes:
        found += planned.emits
        for slot, name in planned.slots:
            node = nodes[name]
            if slot == "sum" and isinstance(node, TemporalSum):
                found += [node.x, name]
    return tuple(dict.fromkeys(found))
