"""A network on the engine: parameters of the hardware, program, constant memories.

`assemble` plans a network, `Design` is what the engine is built and filled with. Several programs
can run on one piece of hardware: `assemble` them first, and one `Hardware` serves them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from fxp.errors import InputError
from fxp.ir import Graph
from hw_model.digits import Digits, digits_of
from hw_model.rtl.assembled import Assembled, Constants, Fields, State
from hw_model.rtl.fields import Field, include_text, pack
from hw_model.rtl.hardware import Hardware
from hw_model.rtl.instructions import Assembler, flush_frames, loading_fields
from hw_model.rtl.units import SEED_BITS
from hw_model.rtl.values import Ground, ground_of


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
    graph: Graph,
    lanes: int,
    dense: bool = False,
    off_chip: Set[str] = frozenset(),
    *,
    paired: bool = False,
    digits: Digits | None = None,
) -> Assembled:
    """Plan a network for an engine of `lanes` lanes; `dense` walks all pairs of joints.

    The weights of the convolutions in `off_chip` stream in from outside, once a frame. Two lanes
    share a multiplier where they are `paired`. Wide words are cut into `digits`, those of another
    network that runs on the same hardware (then `paired` is theirs), or the network's own.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    ground = ground_of(graph, lanes)
    digits = digits or digits_of(tuple(ground.loops.values()), paired)
    if digits.paired and lanes % 2:
        raise InputError(f"lanes: paired ones must be even in number, got {lanes}")
    assembler = Assembler(ground, dense, off_chip, digits)
    loading = loading_fields(ground, flush_frames(ground))
    passes = tuple(loading | assembler.fields(at) for at in range(len(ground.passes)))
    return Assembled(
        ground, passes, assembler.constants, assembler.state, assembler.datapath, digits
    )


def designs_of(programs: Sequence[Assembled]) -> tuple[Design, ...]:
    """One design for each program, all for the same hardware; they share their digits."""
    hardware = Hardware(programs)
    return tuple(_design(hardware, program) for program in programs)


def fits(program: Assembled, other: Assembled) -> bool:
    """Whether a program runs on the hardware that another one has for itself, as that is."""
    alone, both = Hardware([other]), Hardware([other, program])
    return (both.parameters, both.values, both.fields) == (
        alone.parameters,
        alone.values,
        alone.fields,
    )


def design_of(
    graph: Graph,
    lanes: int,
    dense: bool = False,
    off_chip: Set[str] = frozenset(),
    *,
    paired: bool = False,
) -> Design:
    """The design of one network alone; see `assemble`."""
    return designs_of([assemble(graph, lanes, dense, off_chip, paired=paired)])[0]


def hardware_of(
    graph: Graph,
    lanes: int,
    dense: bool = False,
    off_chip: Set[str] = frozenset(),
    *,
    paired: bool = False,
) -> Hardware:
    """The hardware of `design_of` without what fills it, which takes most of a design's time."""
    return Hardware([assemble(graph, lanes, dense, off_chip, paired=paired)])


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


def _output(ground: Ground, name: str, at: int) -> Output:
    frame = ground.frames[name]
    return Output(name, at, frame.channels, frame.joints, frame.groups, frame.bits)


def _design(hardware: Hardware, program: Assembled) -> Design:
    """The program packed for this hardware."""
    constants, lanes = program.constants, program.ground.lanes
    words: dict[str, tuple[int, ...]] = {
        "program": tuple(pack(hardware.fields, fields) for fields in program.passes),
        "edges": tuple(_edge(hardware, *edge) for edge in constants.edges),
    }
    line = {
        "weights": hardware.datapath.weight_bits,
        "outside": hardware.datapath.weight_bits,
        **hardware.word_bits,
    }
    for name, bits in line.items():
        memory = getattr(constants, name)
        memory.word_bits = bits
        words[name] = tuple(memory.words())
        assert hardware.line_bits[name] == lanes * bits
    constants.seeds.word_bits = SEED_BITS
    words["seeds"] = tuple(constants.seeds.words())
    words["powers"] = _powers(hardware, constants)
    memories = {name: (bits, words[name]) for name, bits in hardware.line_bits.items()}
    outputs = tuple(
        _output(program.ground, name, at) for at, name in enumerate(program.ground.graph.outputs)
    )
    return Design(
        program.ground,
        program.passes,
        program.state,
        hardware.parameters,
        hardware.values,
        hardware.fields,
        memories,
        outputs,
    )


def _powers(hardware: Hardware, constants: Constants) -> tuple[int, ...]:
    """Coarse tables, up to the depth of their memory, behind them the fine ones."""
    coarse, fine = ([word for (word,) in m.lines] for m in (constants.coarse, constants.fine))
    return (*coarse, *[0] * (hardware.coarses - len(coarse)), *fine) if fine else ()


def _edge(hardware: Hardware, last: int, source: int, coef: int) -> int:
    bits = hardware.datapath.coef_bits
    return ((last << hardware.source_bits) | source) << bits | (coef & ((1 << bits) - 1))
