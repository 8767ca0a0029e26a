"""Published counts beside ours, each with the convention it was counted by.

The figures are those of the RT-ST-GCN and CoST-GCN networks for PKU-MMD (25 joints, 3 partitions,
52 classes; nine layers of which the fourth and the seventh change the channels and have dilation
2). All are computed from one source, the loop nests; only what a convention counts differs. How the
published totals were counted is a reconstruction that meets every printed digit, not a quotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fxp.spec import ArchSpec, QuantSpec
from hw_model.blueprint import blueprint
from hw_model.loops import Loop, loop_nest

Agreement = Literal["exact", "2 %", "digits"]

CONVENTIONS: Mapping[str, str] = {
    "products": (
        "one per weight and result of every convolution and of the classifier, and one per pair of "
        "joints and partition of every graph product; no bias, norm, mean, running sum (a recount "
        "of the published networks; the papers print the totals below)"
    ),
    "edges": "products, but of a graph product only its non-zero entries (a recount)",
    "torchinfo RT": (
        "torchinfo's mult-adds for one frame (weights and biases of a convolution for each joint, "
        "parameters of a norm once; norms are LayerNorms over channels and joints, one per block, "
        "residual convolution and input; residual convolutions without bias), plus dense graph "
        "products, plus an addition and a subtraction per word of every running sum"
    ),
    "torchinfo CoST": (
        "torchinfo's mult-adds as for RT-ST-GCN (a second norm per block; residual convolutions "
        "with bias), plus dense graph products, plus one per word of the FIFOs"
    ),
    "words RT": (
        "parameters as torchinfo counts them, an edge importance per block and the adjacency once, "
        "FIFOs of dilation * (window - 1) + 1 frames, a residual delay of window // 2 frames"
    ),
    "words CoST": (
        "parameters as torchinfo counts them, an edge importance per block and the adjacency once, "
        "two FIFOs of dilation * (window - 1) + 1 frames per block"
    ),
}


@dataclass(frozen=True)
class Figure:
    """One published figure and ours; `printed` is how it was printed.

    `network` ends with the window where the figure depends on it. It `agrees` when ours is exactly
    that, within 2 % of it, or rounds to the printed digits.
    """

    network: str
    quantity: str
    convention: str
    ours: int
    printed: str
    agreement: Agreement

    @property
    def published(self) -> float:
        """The printed figure as a number (`M` is a million)."""
        number = float(self.printed.removesuffix(" M").replace(",", ""))
        return number * 1e6 if self.printed.endswith(" M") else number

    @property
    def agrees(self) -> bool:
        """Whether ours meets the published figure as closely as `agreement` says."""
        match self.agreement:
            case "exact":
                return self.ours == self.published
            case "2 %":
                return abs(self.ours - self.published) <= 0.02 * self.published
            case "digits":
                decimals = len(self.printed.removesuffix(" M").partition(".")[2])
                return f"{self.ours / 1e6:.{decimals}f} M" == self.printed


def published_arch(family: Literal["rtstgcn", "costgcn"], window: int) -> ArchSpec:
    """The published networks for PKU-MMD."""
    return ArchSpec(
        family=family,
        skeleton="pkummd",
        in_channels=3,
        embedding=64,
        channels=(64, 64, 64, 128, 128, 128, 256, 256, 256),
        window=(window,),
        dilation=(1, 1, 1, 2, 1, 1, 2, 1, 1),
        classes=52,
    )


def published_figures() -> tuple[Figure, ...]:
    """Every published figure, in the order of the table."""
    rt9, rt69, co9, co69 = (
        loop_nest(blueprint(published_arch(family, window), QuantSpec()))
        for family in ("rtstgcn", "costgcn")
        for window in (9, 69)
    )
    rt, co = "RT-ST-GCN", "CoST-GCN"
    rows: list[tuple[str, str, str, int, str, Agreement]] = [
        (rt, part, "products", _dense(rt9, chosen), stated, "exact")
        for part, chosen, stated in _PARTS
    ]
    rows += [
        (rt, "all", "products", _dense(rt9), "19,843,712", "exact"),
        (f"{co} 9", "temporal", "products", _dense(co9, _temporal), "58,060,800", "exact"),
        (f"{co} 9", "all", "products", _dense(co9), "77.9 M", "digits"),
        (f"{co} 69", "all", "products", _dense(co69), "465 M", "digits"),
        (rt, "graph products", "edges", _edges(rt9), "98,112", "exact"),
        (rt, "MACs", "torchinfo RT", rt_macs(rt9), "20.1 M", "2 %"),
        (f"{co} 9", "MACs", "torchinfo CoST", co_macs(co9), "78.6 M", "2 %"),
        (f"{co} 69", "MACs", "torchinfo CoST", co_macs(co69), "468 M", "2 %"),
        (f"{rt} 9", "words", "words RT", rt_words(rt9), "1.3 M", "digits"),
        (f"{rt} 69", "words", "words RT", rt_words(rt69), "5 M", "digits"),
        (f"{co} 9", "words", "words CoST", co_words(co9), "4 M", "digits"),
        (f"{co} 69", "words", "words CoST", co_words(co69), "25 M", "digits"),
    ]
    return tuple(Figure(*row) for row in rows)


def rt_macs(loops: Sequence[Loop]) -> int:
    """MACs of an RT-ST-GCN by convention `torchinfo RT`."""
    sums = sum(loop.adds for loop in loops if loop.kind == "temporal_sum")
    return _torchinfo(loops, residual_bias=False) + _dense(loops, _graph) + sums


def co_macs(loops: Sequence[Loop]) -> int:
    """MACs of a CoST-GCN by convention `torchinfo CoST`."""
    return _torchinfo(loops, residual_bias=True) + _dense(loops, _graph) + fifo_words(loops)


def rt_words(loops: Sequence[Loop]) -> int:
    """Words of an RT-ST-GCN by convention `words RT`."""
    delay = sum(
        _window(loop) // 2 * loop.outputs * loop.joints
        for loop in loops
        if loop.kind == "temporal_sum"
    )
    return parameters(loops, residual_bias=False) + fifo_words(loops) + delay


def co_words(loops: Sequence[Loop]) -> int:
    """Words of a CoST-GCN by convention `words CoST`."""
    return parameters(loops, residual_bias=True) + 2 * fifo_words(loops)


def parameters(loops: Sequence[Loop], residual_bias: bool) -> int:
    """Parameters and buffers of the published modules, norms not folded."""
    graphs = [loop.weights.words for loop in loops if loop.kind == "graph_product"]
    convolutions = sum(
        loop.weights.words + loop.outputs * _has_bias(loop, residual_bias)
        for loop in loops
        if _convolution(loop)
    )
    return convolutions + sum(_norm(loop) for loop in loops) + sum(graphs) + max(graphs)


def fifo_words(loops: Sequence[Loop]) -> int:
    """FIFOs of `dilation * (window - 1) + 1` frames (a running sum's here: `dilation * window`)."""
    words = 0
    for loop in loops:
        for state in loop.state:
            if state.kind == "fifo":
                extra = _dilation(loop) - 1 if loop.kind == "temporal_sum" else 0
                words += (state.frames - extra) * state.frame_words
    return words


def _torchinfo(loops: Sequence[Loop], residual_bias: bool) -> int:
    """Convolutions with their biases, and the parameters of norms once."""
    convolutions = sum(
        loop.macs_dense + loop.outputs * loop.joints * _has_bias(loop, residual_bias)
        for loop in loops
        if _convolution(loop)
    )
    return convolutions + sum(_norm(loop) for loop in loops)


def _norm(loop: Loop) -> int:
    """Scale and bias of a LayerNorm over channels and joints, where the published networks norm.

    Behind residual and temporal convolutions the norm is folded into the weights here.
    """
    is_norm = loop.kind in ("affine", "shift", "temporal_conv") or _residual(loop)
    return 2 * loop.outputs * loop.joints if is_norm else 0


def _has_bias(loop: Loop, residual_bias: bool) -> bool:
    return residual_bias or not _residual(loop)


def _window(loop: Loop) -> int:
    return next(state.frames for state in loop.state if state.kind == "fifo") // _dilation(loop)


def _dilation(loop: Loop) -> int:
    return next(state.frames for state in loop.state if state.kind == "accumulator")


def _convolution(loop: Loop) -> bool:
    return loop.kind in ("conv", "temporal_conv")


def _residual(loop: Loop) -> bool:
    return loop.name.endswith(".residual")


def _graph(loop: Loop) -> bool:
    return loop.kind == "graph_product"


def _temporal(loop: Loop) -> bool:
    return loop.kind == "temporal_conv"


def _dense(loops: Sequence[Loop], chosen: Callable[[Loop], bool] = lambda _: True) -> int:
    return sum(loop.macs_dense for loop in loops if chosen(loop))


def _edges(loops: Sequence[Loop]) -> int:
    return sum(loop.macs_sparse for loop in loops if _graph(loop))


_PARTS: tuple[tuple[str, Callable[[Loop], bool], str], ...] = (
    ("1x1 convolutions", lambda loop: loop.name.endswith(".conv"), "16,281,600"),
    ("graph products", _graph, "2,520,000"),
    ("residual convolutions", _residual, "1,024,000"),
    ("embedding", lambda loop: loop.name == "embedding", "4,800"),
    ("classifier", lambda loop: loop.name == "classifier", "13,312"),
)
