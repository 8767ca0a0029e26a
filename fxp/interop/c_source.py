"""A network as portable C99: the whole of it in plain integers, frame by frame.

`network.h` has the formats as macros and the state, `network_constants.h` the weights and tables,
`network.c` the network, `main.c` a program around it that reads words and prints words. A clock of
input frames drives everything: a value whose frames need L later ones and come every P-th
(`fxp.ir.timings`) has its frame u at tick u * P + L, and after the last input the clock runs on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.interop.c_nodes import piece_of
from fxp.interop.c_piece import Piece, Place
from fxp.interop.c_state import declared, ring_writes
from fxp.interop.c_templates import CAST_TYPE, HEADER, MAIN, SOURCE
from fxp.interop.c_text import c_type, comment_text, fill, identifier, indented
from fxp.ir import Add, Graph, Node, delay_frames, operands
from fxp.memories import Ground, ground_of, settings_for
from fxp.node_fields import kind_of
from fxp.ranges import MAX_INNER_BITS
from fxp.store import graph_hash
from fxp.validate import longest_clip

FILES = ("network.h", "network_constants.h", "network.c", "main.c")


def export_c(graph: Graph, out: Path) -> None:
    """Write `graph` as four C files into the folder `out`, new, empty, or of these files alone.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: `out` is something else, or cannot be written.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out}: is there and no folder; C files need a new or empty one")
    if out.is_dir():
        for path in sorted(out.iterdir()):
            if path.name not in FILES:
                raise InputError(f"{out}: holds {path.name}, hence not replaced")
    texts = c_files(graph)
    with replacing_folder(out) as folder:
        for name, text in texts.items():
            (folder / name).write_text(f"{text}\n", encoding="ascii")


def c_files(graph: Graph) -> dict[str, str]:
    """The text of each file, by name."""
    ground = _whole(ground_of(graph, settings_for(graph, frames=1)))
    places = _places(ground)
    pieces = []
    for node, place in zip(graph.nodes, places, strict=True):
        waits = delay_frames(node, ground.timing) if isinstance(node, Add) else (0, 0)
        pieces.append(piece_of(node, place, waits))
    constants = [text for piece in pieces for text in piece.constants]
    guard = "#ifndef NETWORK_CONSTANTS_H\n#define NETWORK_CONSTANTS_H\n\n#include <stdint.h>\n\n"
    return {
        "network.h": _header(ground, places),
        "network_constants.h": f"{guard}{CAST_TYPE}\n" + "\n".join(constants) + "\n#endif",
        "network.c": _source(ground, places, pieces),
        "main.c": fill(MAIN),
    }


def _whole(ground: Ground) -> Ground:
    """With every sum in a type that holds it whole, as in the simulator, even if it may wrap."""
    wide = replace(ground.graph, accumulator_bits=MAX_INNER_BITS)
    return replace(ground, formats=ground_of(wide, ground.settings).formats)


def _places(ground: Ground) -> list[Place]:
    nodes = ground.graph.nodes
    index = {node.name: i for i, node in enumerate(nodes)}
    names = {node.name: identifier(i, node.name) for i, node in enumerate(nodes)}
    types = {name: c_type(*ground.formats[name]) for name in names}
    return [
        Place(
            names[node.name],
            types[node.name],
            i,
            ground.signals[node.name],
            [names[x] for x in operands(node)],
            [types[x] for x in operands(node)],
            [index[x] for x in operands(node)],
            [ground.signals[x] for x in operands(node)],
        )
        for i, node in enumerate(nodes)
    ]


def _header(ground: Ground, places: Sequence[Place]) -> str:
    graph = ground.graph
    macros, fields = [], []
    for node, place in zip(graph.nodes, places, strict=True):
        word_bits, signed = ground.formats[node.name]
        at = place.name.upper()
        fracs = place.y.frac_bits
        macros.append(f"/* {node.name}: {' '.join((kind_of(node), *operands(node)))} */")
        facts = {
            "CHANNELS": place.y.channels,
            "JOINTS": place.y.joints,
            "WORD_BITS": word_bits,
            "SIGNED": int(signed),
        }
        if len(set(fracs)) == 1:
            facts["FRAC_BITS"] = fracs[0]
        macros += [f"#define NET_{at}_{key} {value}" for key, value in facts.items()]
        fields.append(f"{place.type} {place.name}[{place.y.channels * place.y.joints}];")
        fields += declared(node, place, ground)
    source = places[0].y
    return fill(
        HEADER,
        name=comment_text(graph.name),
        hash=graph_hash(graph),
        nodes=len(places),
        outputs=len(graph.outputs),
        latency=max(timing.lookahead for timing in ground.timing.values()),
        longest=longest_clip(graph) or 0,
        channels=source.channels,
        joints=source.joints,
        macros="\n".join(macros),
        fields=indented(fields),
    )


def _source(ground: Ground, places: Sequence[Place], pieces: Sequence[Piece]) -> str:
    ticks, ends = ring_writes(ground, places[0], places), list[str]()
    for node, place, piece in zip(ground.graph.nodes, places, pieces, strict=True):
        timing = ground.timing[node.name]
        title = f"/* {node.name}: {kind_of(node)} */"
        if place.index == 0:
            continue
        if timing.period == 0:
            ends.append(_block(title, "{", place, piece.body))
            ends += ring_writes(ground, place, places)
            continue
        due = f"if (due(net, {timing.lookahead}, {timing.period})) {{"
        ticks.append(_block(title, due, place, piece.body))
        ticks += ring_writes(ground, place, places)
    graph, source = ground.graph, places[0]
    table = [_row(node, place, ground) for node, place in zip(graph.nodes, places, strict=True)]
    numbers = {node.name: place.index for node, place in zip(graph.nodes, places, strict=True)}
    words = [f"case {place.index}: return net->{place.name}[i];" for place in places]
    return fill(
        SOURCE,
        table=indented(table),
        outputs=", ".join(str(numbers[name]) for name in graph.outputs),
        x=source.name,
        type=source.type,
        size=source.y.channels * source.y.joints,
        longest=longest_clip(graph) or 0,
        ticks=indented(ticks),
        ends=indented(ends),
        has_ends=int(bool(ends)),
        words=indented(words),
    )


def _block(title: str, opening: str, place: Place, body: str) -> str:
    lines = [body, f"net->fresh[{place.index}] = 1;", f"net->seen[{place.index}]++;"]
    return f"{title}\n{opening}\n{indented(lines)}\n}}"


def _row(node: Node, place: Place, ground: Ground) -> str:
    word_bits, signed = ground.formats[node.name]
    timing = ground.timing[node.name]
    numbers = (
        *(place.y.channels, place.y.joints, word_bits, int(signed)),
        *(timing.period, timing.lookahead),
    )
    return f'{{"{node.name}", "{kind_of(node)}", {", ".join(map(str, numbers))}}},'
