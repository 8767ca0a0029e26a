"""Random small networks that the RTL engine takes, from a seed, and named special cases.

`fxp.outline` says how a family is put together, `tests.rtl_filling` gives its nodes their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fxp.ir import (
    Conv,
    Graph,
    IntArray,
    TemporalConv,
    TemporalSum,
    timings,
)
from fxp.qformat import Overflow, Rounding
from fxp.spec import ArchSpec
from hw_model.streaming import NEAR, LineSource
from tests.rtl_filling import Choice, filled
from tests.strategies import random_clip

PARTITIONS = ("uniform", "distance", "spatial")


@dataclass(frozen=True, eq=False)
class Network:
    """A network, the lanes of its engine and a clip.

    The weights of the convolutions in `off_chip` come from outside, as `source` gives them.
    """

    name: str
    graph: Graph
    lanes: int
    clip: IntArray
    off_chip: frozenset[str] = frozenset()
    source: LineSource = NEAR


def random_network(seed: int, words: int = 9) -> Network:
    """A network of random architecture; `words` is the most channels of a layer."""
    rng = np.random.default_rng(seed)
    choice = random_choice(rng, words)
    graph = filled(rng, choice, f"random{seed}")
    clip = random_clip(rng, graph, frames_for(rng, graph))
    return Network(graph.name, graph, choice.lanes, clip, *random_source(rng, graph))


def random_source(rng: np.random.Generator, graph: Graph) -> tuple[frozenset[str], LineSource]:
    """Of a third of the networks, all or some convolutions whose weights stream in, and how."""
    if rng.integers(3):
        return frozenset(), NEAR
    names = [node.name for node in graph.nodes if isinstance(node, Conv | TemporalConv)]
    some = rng.permutation(names)[: int(rng.integers(1, len(names), endpoint=True))]
    source = LineSource(int(rng.integers(1, 41)), int(rng.integers(1, 7)))
    return frozenset(names if rng.integers(2) else some.tolist()), source


def special_network(name: str) -> Network:
    """The special case of that name."""
    rng = np.random.default_rng(list(name.encode()))
    choice = SPECIAL[name]
    graph = filled(rng, choice, name)
    return Network(name, graph, choice.lanes, random_clip(rng, graph, frames_for(rng, graph)))


def frames_for(rng: np.random.Generator, graph: Graph) -> int:
    """Frames until every ring of a network has come round at least once, and some more."""
    period = timings(graph)
    spans = [1]
    for node in graph.nodes:
        if isinstance(node, TemporalSum):
            spans.append(node.window * node.dilation * period[node.name].period)
        elif isinstance(node, TemporalConv):
            spans.append(
                ((node.weight.raw.shape[2] - 1) * node.dilation + 1) * period[node.x].period
            )
    ahead = max(each.lookahead for each in period.values())
    return max(*spans, ahead) + int(rng.integers(2, 6))


# ---------------------------------------------------------------------------- what is drawn


def random_choice(rng: np.random.Generator, most: int) -> Choice:
    """Shape, widths and modes."""

    def below(count: int) -> int:
        return int(rng.integers(count))

    def bits() -> int:
        return int(rng.integers(4, 17))

    mixed = below(4) == 0
    roundings, overflows = tuple(Rounding), tuple(Overflow)
    if not mixed:
        roundings = (Rounding.RND,) if below(2) else (roundings[below(7)],)
        overflows = (Overflow.SAT,) if below(2) else (overflows[below(4)],)
    arch = random_arch(rng, most)
    return Choice(
        arch,
        joints=1 + below(25) if below(3) == 0 else 1 + below(7),
        lanes=(1, 2, 3, 4, 5, 8, 16, 32)[below(8)],
        input_bits=bits(),
        weight_bits=bits(),
        operand_bits=bits(),
        stream_bits=bits(),
        adjacency_bits=bits(),
        unsigned=below(2) == 0,
        signed_input=below(4) > 0,
        by_channel=below(3) == 0,
        by_partition=below(3) == 0,
        dense=below(6) == 0,
        shift_norm=below(3) > 0,
        roundings=roundings,
        overflows=overflows,
        whole=arch.family != "stgcn" or below(2) == 0,
    )


def random_arch(rng: np.random.Generator, most: int) -> ArchSpec:
    """One to three blocks of up to `most` channels."""
    depth = int(rng.integers(1, 4))
    family = ("rtstgcn", "rtstgcn", "costgcn", "stgcn", "msgcn", "tcn")[int(rng.integers(6))]

    def each(low: int, high: int) -> list[int]:
        return [int(value) for value in rng.integers(low, high, depth, endpoint=True)]

    keys: dict[str, object] = {
        "family": family,
        "skeleton": "hugadb",  # the joints are drawn apart
        "partition": PARTITIONS[int(rng.integers(3))],
        "in_channels": each(1, most)[0],
        "embedding": each(1, most)[0],
        "channels": each(1, most),
        "window": each(1, 5),
        "dilation": each(1, 3),
        "classes": int(rng.integers(2, most + 1)),
    }
    residuals = [("auto", "auto", "conv", "none")[at] for at in each(0, 3)]
    match family:
        case "rtstgcn":
            keys |= {"residual": residuals, "norm": "layer" if rng.random() < 0.25 else "batch"}
        case "costgcn":
            keys["residual"] = residuals
            if rng.random() < 0.3:
                keys["embedding"] = None
        case "stgcn":
            strides = [1 << at for at in each(0, 1)]
            keys |= {"embedding": None, "dilation": 1, "window": each(1, 5)[0], "stride": strides}
        case "msgcn":
            keys |= {"channels": [keys["embedding"]] * depth, "window": each(1, 5)[0]}
            keys["refinements"] = int(rng.integers(2))
        case "tcn":
            keys["window"] = each(1, 5)[0]
    return ArchSpec.model_validate(keys)


def _case(lanes: int, joints: int = 5, **keys: object) -> Choice:
    """One block on a small skeleton; keys are of the architecture or of `Choice`."""
    arch: dict[str, object] = {
        "skeleton": "hugadb",
        "in_channels": 3,
        "embedding": 4,
        "channels": (4,),
        "window": 3,
        "dilation": 1,
        "classes": 3,
    }
    own = {key: keys.pop(key) for key in list(keys) if key in ArchSpec.model_fields}
    return replace(Choice(ArchSpec.model_validate(arch | own), joints, lanes), **keys)  # type: ignore[arg-type]


_WRAPS = (Overflow.WRAP,)
SPECIAL: Mapping[str, Choice] = {
    "plain": _case(2),
    "dilation": _case(2, window=3, dilation=3, stream_bits=12),
    "ragged": _case(4, in_channels=5, embedding=6, channels=(6, 7), stream_bits=12),
    "single-joint": _case(4, joints=1),
    "one-channel": _case(2, in_channels=1, embedding=1, channels=(1,), classes=2),
    "wide-engine": _case(32, channels=(3,), classes=2),
    "one-lane": _case(1, joints=3),
    "classes": _case(1, joints=2, channels=(6,), classes=7),
    "padded": _case(4, joints=3, in_channels=3, embedding=3, channels=(3,)),
    "window-1": _case(2, window=1, dilation=1),
    "window-1-dilated": _case(2, window=1, dilation=2),
    "dense": _case(4, joints=4, dense=True),
    "wrap": _case(2, operand_bits=6, cut=3, overflows=_WRAPS, roundings=(Rounding.TRN,)),
    "wrap-unsigned": _case(2, overflows=_WRAPS, unsigned=True, signed_input=False),
    "four-bits": _case(
        2, input_bits=4, weight_bits=4, operand_bits=4, stream_bits=4, adjacency_bits=4
    ),
    "sixteen-bits": _case(
        2, input_bits=16, weight_bits=16, operand_bits=16, stream_bits=16, adjacency_bits=16
    ),
    "unsigned": _case(3, unsigned=True, signed_input=False, channels=(4, 4), stream_bits=12),
    "by-channel": _case(2, by_channel=True, by_partition=True, embedding=5, channels=(5, 3)),
    "scaled-norm": _case(4, shift_norm=False, channels=(6,)),
    "modes": _case(2, roundings=tuple(Rounding), overflows=tuple(Overflow), channels=(4, 4)),
    "no-residual": _case(2, residual="none"),
    "lookahead": _case(2, family="costgcn", channels=(4, 4), window=(3, 2), dilation=(2, 1)),
    "strides": _case(
        2, family="stgcn", embedding=None, channels=(4, 4), stride=(2, 2), whole=False
    ),
    "clip-mean": _case(2, family="stgcn", embedding=None, channels=(4, 5), stride=(1, 2)),
    "refined": _case(2, family="msgcn", channels=(4, 4), dilation=(1, 2)),
    "layer-norm": _case(4, norm="layer", embedding=5, channels=(5, 3)),
    "softmax": _case(2, family="msgcn", channels=(4,), refinements=1, classes=5),
    "layer-norm-wide": _case(4, norm="layer", channels=(5,), operand_bits=16, stream_bits=16),
    "softmax-wide": _case(
        2, family="msgcn", channels=(4,), refinements=1, classes=5, operand_bits=16
    ),
    "vector": _case(4, family="tcn", joints=3, embedding=5, channels=(5, 3)),
}
