"""A network on the engine: parameters of the hardware, program, constant memories.

`assemble` plans a network, `Design` is what the engine is built and filled with. Several programs
can run on one piece of hardware: `assemble` them first, join their needs, then `render` each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

from fxp.ir import Graph
from fxp.qformat import Overflow, Rounding
from hw_model.rtl.datapath import OVERFLOWS, ROUNDINGS, Datapath
from hw_model.rtl.fields import Field, Widths, include_text, pack, pass_fields
from hw_model.rtl.instructions import (
    Assembler,
    Constants,
    Fields,
    State,
    flush_frames,
    loading_fields,
)
from hw_model.rtl.units import SEED_BITS
from hw_model.rtl.values import Ground, ground_of

Mode = TypeVar("Mode", Rounding, Overflow)
BOOT_MEMORIES = ("program", "weights", "bias", "norm", "edges", "delta", "seeds", "powers")


@dataclass(frozen=True, eq=False)
class Assembled:
    """A planned network: its passes as fields, its constants, and what hardware it needs."""

    ground: Ground
    passes: tuple[Fields, ...]
    constants: Constants
    state: State
    datapath: Datapath


@dataclass(frozen=True, slots=True)
class Output:
    """One output as it leaves the engine: `groups * joints` lines a frame, group by group."""

    name: str
    at: int
    channels: int
    joints: int
    groups: int
    word_bits: int


@dataclass(frozen=True, eq=False)
class Design:
    """Hardware parameters by name, program, and the lines of each constant memory.

    The boot port writes them, but for `outside`: weights that stay off the chip and stream in.
    """

    ground: Ground
    passes: tuple[Fields, ...]
    state: State
    parameters: Mapping[str, int]
    values: tuple[tuple[int, int], ...]  # width of a word and lines, of each memory of values
    fields: tuple[Field, ...]
    memories: Mapping[str, tuple[int, tuple[int, ...]]]  # bits of a line, lines
    outputs: tuple[Output, ...]


def assemble(
    graph: Graph, lanes: int, dense: bool = False, off_chip: Set[str] = frozenset()
) -> Assembled:
    """Plan a network for an engine of `lanes` lanes; `dense` walks all pairs of joints.

    The weights of the convolutions in `off_chip` stream in from outside, once a frame.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    ground = ground_of(graph, lanes)
    assembler = Assembler(ground, dense, off_chip)
    loading = loading_fields(ground, flush_frames(ground))
    passes = tuple(loading | assembler.fields(at) for at in range(len(ground.passes)))
    return Assembled(ground, passes, assembler.constants, assembler.state, assembler.datapath)


def designs_of(programs: Sequence[Assembled]) -> tuple[Design, ...]:
    """One design for each program, all for the same hardware."""
    hardware = _Hardware(programs)
    return tuple(hardware.design(program) for program in programs)


def design_of(
    graph: Graph, lanes: int, dense: bool = False, off_chip: Set[str] = frozenset()
) -> Design:
    """The design of one network alone; see `assemble`."""
    return designs_of([assemble(graph, lanes, dense, off_chip)])[0]


class _Hardware:
    """What serves all programs."""

    def __init__(self, programs: Sequence[Assembled]) -> None:
        self.programs = programs
        self.datapath = programs[0].datapath
        for program in programs[1:]:
            self.datapath = self.datapath.joined(program.datapath)
        self.values = self._values()
        self.word_bits = {
            name: max(_word_bits(program)[name] for program in programs)
            for name in ("bias", "norm", "delta")
        }
        self.source_bits = self._most(
            lambda p: max((source for _, source, _ in p.constants.edges), default=0)
        )
        self.widths = self._widths()
        self.fields = pass_fields(self.widths)
        self.parameters = self._parameters()

    def _values(self) -> tuple[tuple[int, int], ...]:
        """Width and depth of each memory of values."""
        count = max(len(program.ground.widths) for program in self.programs)
        found = []
        for at in range(count):
            grounds = [p.ground for p in self.programs if at < len(p.ground.widths)]
            found.append((max(g.widths[at] for g in grounds), max(g.depths[at] for g in grounds)))
        return tuple(found)

    def _most(self, of: object) -> int:
        assert callable(of)
        return max(1, _bits(max(int(of(program)) for program in self.programs)))

    def _widths(self) -> Widths:
        def most(*names: str) -> int:
            return self._most(lambda p: max(_entries(p.passes, names), default=0))

        def depth(name: str) -> int:
            return self._most(lambda p: len(getattr(p.constants, name).lines) - 1)

        amounts = [bound for shifts in self.datapath.shifts.values() for bound in shifts.range]
        longest = self._most(lambda p: max(_entries(p.passes, _LIMITS), default=0))
        counts = tuple(f"count_{name}" for name in _COUNTS)
        return Widths(
            count=most(*counts, "in_joints", "in_groups"),
            value_addr=max(1, _bits(max(lines for _, lines in self.values) - 1)),
            ring_addr=longest + 1,  # a sum of two offsets before it wraps
            ring=self._most(lambda p: p.state.rings),
            memory=max(1, _bits(len(self.values) - 1)),
            w_addr=depth("weights"),
            b_addr=depth("bias"),
            n_addr=max(depth("norm"), self._most(_most_lines)),
            d_addr=depth("delta"),
            e_addr=self._most(lambda p: len(p.constants.edges) - 1),
            f_addr=self._most(lambda p: p.state.fifo_lines - 1),
            t_addr=self._most(lambda p: p.state.total_lines - 1),
            time=max(24, most(*_TIMES) + 1),
            amount=1 + max(_bits(abs(bound)) for bound in amounts),
            weight=max(self.datapath.weight_bits, self.datapath.coef_bits),
            out_id=self._most(lambda p: len(p.ground.graph.outputs) - 1),
            values=len(self.values),
            lane=max(1, _bits(self.programs[0].ground.lanes - 1)),
            pause=max(4, most("sweep_pause"), 1 + most("more_drain")),
            s_addr=depth("seeds"),
            c_addr=depth("coarse"),
            p_addr=depth("fine"),
            units=self.datapath.units,
            fetch=depth("outside"),
            tile=most("tile_last"),
        )

    def _parameters(self) -> dict[str, int]:
        datapath, w, first = self.datapath, self.widths, self.programs[0].ground
        bits = {name: self.word_bits[name] for name in ("bias", "norm", "delta")}
        emit_bits = max(datapath.stage["emit"], datapath.out_bits, *(b for b, _ in self.values))
        read_bits = max(width for width, _ in self.values)
        lines = {
            name: max(len(_lines(p.constants, name)) for p in self.programs) or 1
            for name in ("weights", "bias", "norm", "edges", "delta", "seeds", "coarse", "fine")
        }
        self.coarses = lines["coarse"]
        passes = max(len(program.passes) for program in self.programs)
        lanes = first.lanes
        line_bits = {
            "program": sum(field.bits for field in self.fields),
            "weights": lanes * w.weight,
            "bias": lanes * bits["bias"],
            "norm": lanes * bits["norm"],
            "edges": 1 + self.source_bits + datapath.coef_bits,
            "delta": lanes * bits["delta"],
            "seeds": SEED_BITS,
            "powers": datapath.units["SHARE_ENTRY_BITS"],
            "outside": lanes * w.weight,
        }
        depths = {"program": passes, **lines, "powers": lines["coarse"] + lines["fine"]}
        self.line_bits = line_bits
        rings = 1 + max(program.state.rings for program in self.programs)
        parameters = {
            "LANES": lanes,
            "LANE_BITS": w.lane,
            "IN_BITS": max(p.ground.frames[_input_of(p)].bits for p in self.programs),
            "OUT_BITS": datapath.out_bits,
            "OUT_ID_BITS": w.out_id,
            "PASSES": passes,
            "PC_BITS": max(1, _bits(passes - 1)),
            "PASS_BITS": line_bits["program"],
            "BOOT_BITS": max(line_bits[name] for name in BOOT_MEMORIES),
            "BOOT_ADDR_BITS": max(1, *(_bits(depth - 1) for depth in depths.values())),
            "VALUES": w.values,
            "MEMORY_BITS": w.memory,
            "VALUE_ADDR_BITS": w.value_addr,
            "RINGS": rings,
            "RING_BITS": w.ring,
            "RING_ADDR_BITS": w.ring_addr,
            "TIME_BITS": w.time,
            "COUNT_BITS": w.count,
            "W_ADDR_BITS": w.w_addr,
            "B_ADDR_BITS": w.b_addr,
            "N_ADDR_BITS": w.n_addr,
            "D_ADDR_BITS": w.d_addr,
            "E_ADDR_BITS": w.e_addr,
            "F_ADDR_BITS": w.f_addr,
            "T_ADDR_BITS": w.t_addr,
            "S_ADDR_BITS": w.s_addr,
            "C_ADDR_BITS": w.c_addr,
            "P_ADDR_BITS": w.p_addr,
            "PAUSE_BITS": w.pause,
            "WEIGHTS": lines["weights"],
            "BIASES": lines["bias"],
            "NORMS": lines["norm"],
            "DELTAS": lines["delta"],
            "EDGES": lines["edges"],
            "SEEDS": lines["seeds"],
            "COARSES": lines["coarse"],
            "FINES": lines["fine"],
            "EDGE_BITS": line_bits["edges"],
            "SOURCE_BITS": self.source_bits,
            "COEF_BITS": datapath.coef_bits,
            "FIFO_LINES": max(1, *(p.state.fifo_lines for p in self.programs)),
            "TOTAL_LINES": max(1, *(p.state.total_lines for p in self.programs)),
            "READ_BITS": max(read_bits, datapath.x_bits),
            "X_BITS": datapath.x_bits,
            "W_BITS": w.weight,
            "BIAS_BITS": bits["bias"],
            "NORM_BITS": bits["norm"],
            "DELTA_BITS": bits["delta"],
            "ACC_BITS": datapath.stage["acc"],
            "CAST0_BITS": max(datapath.stage["cast0"], datapath.fifo_bits),
            "FIFO_BITS": datapath.fifo_bits,
            "TOTAL_BITS": datapath.total_bits,
            "SUM_BITS": datapath.stage["sum"],
            "SHIFT_BITS": datapath.stage["shift"],
            "CAST1_BITS": datapath.stage["cast1"],
            "ADD_BITS": datapath.stage["add"],
            "EMIT_BITS": emit_bits,
            "INDEX_BITS": datapath.index_bits,
            "AMOUNT_BITS": w.amount,
            "HAS_CAST0": int("cast0" in datapath.slots),
            "HAS_SUM": int("sum" in datapath.slots),
            "HAS_SHIFT": int("shift" in datapath.slots),
            "HAS_CAST1": int("cast1" in datapath.slots),
            "HAS_ADD": int("add" in datapath.slots),
            "HAS_ARGMAX": int(datapath.argmax),
            "HAS_TILES": int(any(p.constants.outside.lines for p in self.programs)),
            "FETCH_BITS": w.fetch,
            "TILE_BITS": w.tile,
            "HAS_DELTA": int(any(p.constants.delta.lines for p in self.programs)),
            "ROUNDING": _only(ROUNDINGS, datapath.roundings),
            "OVERFLOW": _only(OVERFLOWS, datapath.overflows),
            **datapath.units,
        }
        for name, shifts in datapath.shifts.items():
            low, high = shifts.range
            parameters |= {f"{name.upper()}_MIN": low, f"{name.upper()}_MAX": high}
        return parameters

    def design(self, program: Assembled) -> Design:
        """The program packed for this hardware."""
        constants, lanes = program.constants, program.ground.lanes
        words: dict[str, tuple[int, ...]] = {
            "program": tuple(pack(self.fields, fields) for fields in program.passes),
            "edges": tuple(self._edge(*edge) for edge in constants.edges),
        }
        line = {"weights": self.widths.weight, "outside": self.widths.weight, **self.word_bits}
        for name, bits in line.items():
            memory = getattr(constants, name)
            memory.word_bits = bits
            words[name] = tuple(memory.words())
            assert self.line_bits[name] == lanes * bits
        constants.seeds.word_bits = SEED_BITS
        words["seeds"] = tuple(constants.seeds.words())
        words["powers"] = self._powers(constants)
        memories = {name: (bits, words[name]) for name, bits in self.line_bits.items()}
        outputs = tuple(
            _output(program.ground, name, at)
            for at, name in enumerate(program.ground.graph.outputs)
        )
        return Design(
            program.ground,
            program.passes,
            program.state,
            self.parameters,
            self.values,
            self.fields,
            memories,
            outputs,
        )

    def _powers(self, constants: Constants) -> tuple[int, ...]:
        """Coarse tables, up to the depth of their memory, behind them the fine ones."""
        coarse, fine = ([word for (word,) in m.lines] for m in (constants.coarse, constants.fine))
        return (*coarse, *[0] * (self.coarses - len(coarse)), *fine) if fine else ()

    def _edge(self, last: int, source: int, coef: int) -> int:
        bits = self.datapath.coef_bits
        return ((last << self.source_bits) | source) << bits | (coef & ((1 << bits) - 1))


_LIMITS = ("x_limit", "x_back", "tap_step", "fifo_limit", "total_limit", "add_limit", "emit_limit")
_COUNTS = ("groups", "parts", "joints", "taps", "flats", "words")
_TIMES = ("pass_lag", "tap_lag", "tap_frames", "fifo_age", "total_age", "in_flush")


def include_files(design: Design) -> dict[str, str]:
    """The engine's generated includes, by file name."""
    parameters, fields, values = design.parameters, design.fields, design.values
    entries = [f"parameter int {name} = {value}" for name, value in parameters.items()]
    for name, column in (("VALUE_WIDTHS", 0), ("VALUE_LINES", 1)):
        words = ", ".join(f"32'd{value[column]}" for value in reversed(values))
        entries.append(f"parameter [{32 * len(values) - 1}:0] {name} = {{{words}}}")
    text = (
        "// Generated. Parameters of one engine; the same list in each module that needs them.\n"
        "/* verilator lint_off UNUSEDPARAM */\n"
    )
    close = "\n/* verilator lint_on UNUSEDPARAM */\n"
    return {
        "engine_params.svh": text + ",\n".join(entries) + close,
        "pass_fields.svh": include_text(fields, incoming=False),
        "in_fields.svh": include_text(fields, incoming=True),
    }


def _entries(passes: Sequence[Fields], names: Sequence[str]) -> list[int]:
    found: list[int] = []
    for fields in passes:
        for name in names:
            value = fields.get(name, 0)
            found += value if isinstance(value, list) else [value]
    return found


def _lines(constants: Constants, name: str) -> Sequence[object]:
    if name == "edges":
        return constants.edges
    lines: list[list[int]] = getattr(constants, name).lines
    return lines


def _most_lines(program: Assembled) -> int:
    return max(frame.lines for frame in program.ground.frames.values())


def _word_bits(program: Assembled) -> dict[str, int]:
    """Bits of the words of the memories whose width follows from what is in them."""
    found = {}
    for name in ("bias", "norm", "delta"):
        words = [word for line in getattr(program.constants, name).lines for word in line]
        found[name] = 1 + max((_bits(word if word >= 0 else ~word) for word in words), default=0)
    return found


def _input_of(program: Assembled) -> str:
    return program.ground.graph.nodes[0].name


def _output(ground: Ground, name: str, at: int) -> Output:
    frame = ground.frames[name]
    return Output(name, at, frame.channels, frame.joints, frame.groups, frame.bits)


def _bits(value: int) -> int:
    return max(value, 0).bit_length()


def _only(modes: Sequence[Mode], used: Set[Mode]) -> int:
    """The number of the one mode that is used, or -1: the engine then chooses at run time."""
    return modes.index(next(iter(used))) if len(used) == 1 else -1
