"""The hardware that serves some programs: widths of fields, and the parameters of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TypeVar

from fxp.qformat import Overflow, Rounding
from hw_model.rtl.assembled import Assembled, Constants, Fields
from hw_model.rtl.datapath import OVERFLOWS, ROUNDINGS
from hw_model.rtl.fields import Widths, pass_fields
from hw_model.rtl.units import SEED_BITS

Mode = TypeVar("Mode", Rounding, Overflow)
BOOT_MEMORIES = ("program", "weights", "bias", "norm", "edges", "delta", "seeds", "powers")

_LIMITS = ("x_limit", "x_back", "tap_step", "fifo_limit", "total_limit", "add_limit", "emit_limit")
_COUNTS = ("groups", "parts", "joints", "taps", "flats", "words")
_TIMES = ("pass_lag", "tap_lag", "tap_frames", "fifo_age", "total_age", "in_flush")


class Hardware:
    """What serves all programs."""

    def __init__(self, programs: Sequence[Assembled]) -> None:
        """As wide as the widest, as deep as the deepest of the programs wants each part."""
        self.programs = programs
        assert len({program.digits for program in programs}) == 1
        self.datapath = programs[0].datapath
        for program in programs[1:]:
            self.datapath = self.datapath.joined(program.datapath)
        self.values = self._values()
        self.word_bits = {
            name: max(getattr(program.constants, name).needed_bits for program in programs)
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

    def _most(self, of: Callable[[Assembled], int]) -> int:
        return max(1, _bits(max(of(program) for program in self.programs)))

    def _widths(self) -> Widths:
        def most(*names: str) -> int:
            return self._most(lambda p: max(_entries(p.passes, names), default=0))

        def depth(name: str) -> int:
            return self._most(lambda p: getattr(p.constants, name).depth - 1)

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
            out_id=self._most(lambda p: len(p.ground.graph.outputs) - 1),
            values=len(self.values),
            lane=max(1, _bits(self.programs[0].ground.lanes - 1)),
            pause=max(4, most("sweep_pause"), 1 + most("more_drain")),
            s_addr=depth("seeds"),
            c_addr=depth("coarse"),
            p_addr=depth("fine"),
            m_addr=self._most(lambda p: p.state.mean_lines - 1),
            units=self.datapath.units,
            fetch=depth("outside"),
            tile=most("tile_last"),
            turns=self.datapath.turns,
            digit=max(1, _bits(self.datapath.operand_digits - 1)),
            paired=self.programs[0].digits.paired,
        )

    def _parameters(self) -> dict[str, int]:
        datapath, lanes = self.datapath, self.programs[0].ground.lanes
        bits = self.word_bits
        lines = {
            name: max(_depth(p.constants, name) for p in self.programs) or 1
            for name in ("weights", "bias", "norm", "edges", "delta", "seeds", "coarse", "fine")
        }
        self.coarses = lines["coarse"]
        passes = max(len(program.passes) for program in self.programs)
        line_bits = {
            "program": sum(field.bits for field in self.fields),
            "weights": lanes * datapath.weight_bits,
            "bias": lanes * bits["bias"],
            "norm": lanes * bits["norm"],
            "edges": 1 + self.source_bits + datapath.coef_bits,
            "delta": lanes * bits["delta"],
            "seeds": SEED_BITS,
            "powers": datapath.units["SHARE_ENTRY_BITS"],
            "outside": lanes * datapath.weight_bits,
        }
        depths = {"program": passes, **lines, "powers": lines["coarse"] + lines["fine"]}
        self.line_bits = line_bits
        return {**self._sizes(lines, line_bits, depths), **self._bits_of_stages(), **self._has()}

    def _sizes(
        self, lines: Mapping[str, int], line_bits: Mapping[str, int], depths: Mapping[str, int]
    ) -> dict[str, int]:
        """Lanes, streams, memories and addresses."""
        datapath, w = self.datapath, self.widths
        passes, rings = depths["program"], 1 + max(p.state.rings for p in self.programs)
        return {
            "LANES": self.programs[0].ground.lanes,
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
            "M_ADDR_BITS": w.m_addr,
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
            "MEAN_LINES": max(1, *(p.state.mean_lines for p in self.programs)),
            "TOTAL_LINES": max(1, *(p.state.total_lines for p in self.programs)),
            "FETCH_BITS": w.fetch,
            "TILE_BITS": w.tile,
            "TURNS": w.turns,
            "DIGIT_BITS": w.digit,
            "OPERAND_DIGITS": datapath.operand_digits,
            "OPERAND_STEP": self.programs[0].digits.operand_step,
            "WEIGHT_STEP": self.programs[0].digits.weight_step,
        }

    def _bits_of_stages(self) -> dict[str, int]:
        """Words in the pipeline, stage by stage."""
        datapath, w = self.datapath, self.widths
        widest = max(width for width, _ in self.values)
        bits = self.word_bits
        return {
            "READ_BITS": max(widest, datapath.x_bits),
            "X_BITS": datapath.x_bits,
            "W_BITS": datapath.weight_bits,
            "MULT_W_BITS": max(datapath.weight_bits, datapath.coef_bits),
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
            "EMIT_BITS": max(datapath.stage["emit"], datapath.out_bits),
            "INDEX_BITS": datapath.index_bits,
            "AMOUNT_BITS": w.amount,
        }

    def _has(self) -> dict[str, int]:
        """What there is, modes that all casts share, and ranges of shifts."""
        datapath, w = self.datapath, self.widths
        found = {
            "HAS_CAST0": int("cast0" in datapath.slots),
            "HAS_SUM": int("sum" in datapath.slots),
            "HAS_SHIFT": int("shift" in datapath.slots),
            "HAS_CAST1": int("cast1" in datapath.slots),
            "HAS_ADD": int("add" in datapath.slots),
            "HAS_ARGMAX": int(datapath.argmax),
            "PAIRED": int(w.paired),
            "HAS_DIGITS": int(w.turns > 1),
            "HAS_TILES": int(any(p.constants.outside.depth for p in self.programs)),
            "HAS_DELTA": int(any(p.constants.delta.depth for p in self.programs)),
            "ROUNDING": _only(ROUNDINGS, datapath.roundings),
            "OVERFLOW": _only(OVERFLOWS, datapath.overflows),
            **datapath.units,
        }
        for name, shifts in datapath.shifts.items():
            low, high = shifts.range
            found |= {f"{name.upper()}_MIN": low, f"{name.upper()}_MAX": high}
        return found


def _entries(passes: Sequence[Fields], names: Sequence[str]) -> list[int]:
    found: list[int] = []
    for fields in passes:
        for name in names:
            value = fields.get(name, 0)
            found += value if isinstance(value, list) else [value]
    return found


def _depth(constants: Constants, name: str) -> int:
    """Lines of a memory."""
    if name == "edges":
        return len(constants.edges)
    depth: int = getattr(constants, name).depth
    return depth


def _most_lines(program: Assembled) -> int:
    return max(frame.lines for frame in program.ground.frames.values())


def _input_of(program: Assembled) -> str:
    return program.ground.graph.nodes[0].name


def _bits(value: int) -> int:
    return max(value, 0).bit_length()


def _only(modes: Sequence[Mode], used: Set[Mode]) -> int:
    """The number of the one mode that is used, or -1: the engine then chooses at run time."""
    return modes.index(next(iter(used))) if len(used) == 1 else -1
