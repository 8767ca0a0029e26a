"""From a line of a port back to the network: which pass, node, frame, joint and channel it is."""

from __future__ import annotations

from dataclasses import dataclass

from hw_model.rtl.bench_log import Difference
from hw_model.rtl.expected import Lines, result_order
from hw_model.rtl.runs import PlannedRun

LOADING = -1  # in `Lines.made`


@dataclass(frozen=True, slots=True)
class Found:
    """One word that the engine has differently, or one line that it puts somewhere else.

    `frame` counts the node's own frames, `input_frame` those of the input at which it is computed.
    `channel` is None where all words are right, or in a lane behind the last channel. Words are
    signed numbers; `found` is None where the engine has x.
    """

    port: str
    line: int
    passed: int | None
    nodes: tuple[str, ...]
    node: str
    input_frame: int
    frame: int
    joint: int
    channel: int | None
    lane: int
    address: int
    found_address: int | None
    expected: int
    found: int | None

    def __str__(self) -> str:
        where = "loading" if self.passed is None else f"pass {self.passed} ({' '.join(self.nodes)})"
        channel = f"channel {self.channel}" if self.channel is not None else f"lane {self.lane}"
        text = f"{where}: node {self.node}, frame {self.frame}, joint {self.joint}, {channel}: "
        if self.found_address != self.address:
            text += f"the engine's line is at {self.found_address}, must be at {self.address}; "
        found = "x" if self.found is None else self.found
        if self.found != self.expected:
            text += f"the engine has {found}, must have {self.expected} "
        return f"{text}({self.port}.hex line {self.line + 1})"


def locate(run: PlannedRun, difference: Difference) -> Found | None:
    """The place of a difference of one line; None for others."""
    lines = run.bench.ports.get(difference.port)
    at = difference.line
    if lines is None or at is None or difference.found is None or difference.wanted is None:
        return None
    address, words = difference.found.split()
    lane, found = _first(lines, at, words)
    made, input_frame = int(lines.made[at]), int(lines.frame[at])
    node = _node(run, difference.port, made, int(lines.address[at]))
    joint, channel = _place(run, node, made, int(lines.result[at]), lane)
    fields = run.design.passes[made] if made != LOADING else {"pass_lag": 0, "period_mask": 0}
    return Found(
        port=difference.port,
        line=at,
        passed=None if made == LOADING else made,
        nodes=() if made == LOADING else run.design.ground.passes[made].nodes,
        node=node,
        input_frame=input_frame,
        frame=(input_frame - fields["pass_lag"]) // (fields["period_mask"] + 1),
        joint=joint,
        channel=channel,
        lane=lane,
        address=int(lines.address[at]),
        found_address=_number(address),
        expected=int(lines.words[at, lane]),
        found=found,
    )


def first_of(run: PlannedRun, differences: tuple[Difference, ...]) -> Difference | None:
    """The difference of one line whose line the engine makes first."""

    def when(difference: Difference) -> tuple[int, int, int]:
        lines, at = run.bench.ports[difference.port], difference.line
        assert at is not None
        return int(lines.frame[at]), int(lines.made[at]), int(lines.result[at])

    known = [d for d in differences if d.port in run.bench.ports and d.wanted is not None]
    return min(known, key=when, default=None)


def _first(lines: Lines, at: int, words: str) -> tuple[int, int | None]:
    """The first lane whose word differs, or lane 0, and its word; None where it has an x."""
    bits = lines.bits
    digits = "".join("xxxx" if digit in "xXzZ" else f"{int(digit, 16):04b}" for digit in words)
    for lane, expected in enumerate(lines.words[at].tolist()):
        end = len(digits) - lane * bits
        text = digits[end - bits : end]
        found = None if "x" in text else int(text, 2) - (int(text[0]) << bits)
        if found != expected:
            return lane, found
    return 0, int(lines.words[at, 0])


def _number(digits: str) -> int | None:
    return None if set("xXzZ") & set(digits) else int(digits, 16)


def _node(run: PlannedRun, port: str, made: int, address: int) -> str:
    """Whose words go through a port in a pass."""
    ground, stem = run.design.ground, port.removesuffix(".end")
    if made == LOADING:
        return ground.graph.nodes[0].name
    if stem == "outputs":
        return ground.graph.outputs[address // 2]
    planned = ground.passes[made]
    if stem.startswith("values"):
        memory = int(stem.removeprefix("values"))
        kept = {name: ground.places[name] for name in planned.emits if name in ground.places}
        return next(name for name, place in kept.items() if place.memory == memory)
    name = next(name for slot, name in planned.slots if slot == "sum")
    return ground.loops[name].reads[0] if stem == "fifo" else name


def _place(run: PlannedRun, node: str, made: int, result: int, lane: int) -> tuple[int, int | None]:
    """Joint and channel of a lane of a pass's result."""
    frame = run.design.ground.frames[node]
    if made == LOADING:
        group, joint, part = result % frame.groups, result // frame.groups, 0
    else:
        line = int(result_order(run.design.passes[made], frame)[result])
        rest, part = divmod(line, frame.partitions)
        group, joint = divmod(rest, frame.joints)
    width = frame.channels // frame.partitions
    within = group * frame.lanes + lane
    return joint, part * width + within if within < width else None
