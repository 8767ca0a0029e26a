"""What two implementations of a network computed, from whatever they left behind.

A side is a model file (it is simulated), a golden bundle (its values are read), or a plain folder
of arrays, one file a value: `<node>.npy` with integers `(T, C, V)`, or `<node>.hex` laid out as in
a bundle; in the folder itself or in `values/` below it. A folder tells no network, so the other
side has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fxp.bundle import open_bundle, read_value
from fxp.clip_files import read_array, read_clips
from fxp.errors import InputError
from fxp.hexmem import decode
from fxp.ir import Graph, IntArray
from fxp.manifest import MANIFEST
from fxp.memories import Ground, ground_of, held, settings_for, value_layout
from fxp.simulate import compile_graph, run
from fxp.store import load_graph

Values = Mapping[str, IntArray]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sides on one stimulus.

    `exact` are all values that `ground.graph` makes of it: side A's network, or B's where A tells
    none. All are `(T, C, V)`; a sum that may wrap is whole in `exact`, and on both sides as a
    register holds it.
    """

    ground: Ground
    exact: Values
    a: Values
    b: Values


def read_pair(a: Path, b: Path, data: Path | None = None, lanes: int | None = None) -> Pair:
    """Read or simulate both sides.

    Args:
        a, b: model file, golden bundle or folder of values.
        data: input words; None takes those of A, else those of B.
        lanes: values in one word of `.hex` files in plain folders; None: as in the bundle that is
            the other side, else 1.

    Raises:
        InputError: a side is missing, damaged or no side; none tells the network or the stimulus;
            a value has another shape than the network gives it, or none is there on both sides.
    """
    opened = [_open(path) for path in (a, b)]
    ground = next((side for side in opened if side is not None), None)
    if ground is None:
        raise InputError(f"{a}, {b}: one of them must tell the network (a model file or a bundle)")
    packed = ground.settings.lanes if lanes is None else lanes
    ground = ground_of(ground.graph, settings_for(ground.graph, 1, packed))
    stored = [_stored(path, side, ground) for path, side in zip((a, b), opened, strict=True)]
    clip = _stimulus(ground.graph, data, stored, (a, b))
    exact = _simulated(ground.graph, clip)
    sides = []
    for path, side, values in zip((a, b), opened, stored, strict=True):
        if values is None:
            assert side is not None
            own = side.graph is ground.graph
            values = exact if own else _simulated(side.graph, clip)
        _check_shapes(path, values, exact)
        sides.append({name: held(ground, name, words) for name, words in values.items()})
    if not sides[0].keys() & sides[1].keys() & exact.keys():
        raise InputError(f"{a}, {b}: there is no value that both have")
    return Pair(ground, exact, *sides)


def _open(path: Path) -> Ground | None:
    """The network of a side with its settings; None for a plain folder."""
    if not path.is_dir():
        graph = load_graph(path)
        return ground_of(graph, settings_for(graph, frames=1))
    return open_bundle(path)[0] if (path / MANIFEST).exists() else None


def _stored(path: Path, side: Ground | None, ground: Ground) -> dict[str, IntArray] | None:
    """The values that a side has as files; None for a model file."""
    if not path.is_dir():
        return None
    if side is not None:
        return {name: read_value(path, side, name) for name in side.settings.taps}
    folder = path / "values" if (path / "values").is_dir() else path
    found: dict[str, IntArray] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix not in (".npy", ".hex"):
            continue
        name = file.name.removesuffix(file.suffix)
        if name not in ground.signals:
            raise InputError(f"{file}: `{name}` is no node of graph `{ground.graph.name}`")
        if name in found:
            raise InputError(f"{file}: `{name}` is there as .npy and as .hex")
        found[name] = read_array(file) if file.suffix == ".npy" else _hex(file, ground, name)
    if not found:
        raise InputError(f"{folder}: no .npy and no .hex file of a value")
    return found


def _hex(file: Path, ground: Ground, name: str) -> IntArray:
    """A value in hex; its number of frames follows from the size of the file."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    frames = max(1, len(text) // value_layout(ground, name, 1).file_bytes)
    return decode(text, value_layout(ground, name, frames), str(file)).transpose(0, 2, 1)


def _stimulus(
    graph: Graph,
    data: Path | None,
    stored: list[dict[str, IntArray] | None],
    paths: tuple[Path, Path],
) -> IntArray:
    """The input words that both sides are said to have read."""
    if data is not None:
        return next(words for _, words in read_clips(data, graph))
    name = graph.nodes[0].name
    for values in stored:
        if values is not None and name in values:
            return values[name]
    sides = ", ".join(map(str, paths))
    raise InputError(f"{sides}: neither has the input words `{name}`: give a clip (--data)")


def _simulated(graph: Graph, clip: IntArray) -> dict[str, IntArray]:
    plan = compile_graph(graph)
    return run(plan, clip, taps=list(plan.stages))[0]


def _check_shapes(path: Path, values: Values, exact: Values) -> None:
    for name, words in values.items():
        if name in exact and words.shape != exact[name].shape:
            raise InputError(
                f"{path}: value `{name}` must be of shape {exact[name].shape} "
                f"(frames, channels, joints), is {words.shape}"
            )
