"""The calibrator of every tensor, chosen by its end effect: `calibrator: best`.

Which calibrator suits a tensor depends on what reads it, not on the tensor alone. So the four are
compared by what the whole network makes of them: first each for all tensors at once, then, from the
best of those, tensor by tensor in the order of the network. What is compared is the divergence of
the classes on calibration recordings (`fxp.ptq.search.divergence_of`): it needs no labels.

Where every output channel of a weight has its own binary point, a fifth choice stands beside the
four: channel by channel the point at which the layer's output, not the weight, has the least error
on the operands that the network gives it. The network's answer decides on it as on the others, for
all channels of a convolution at once. It is asked only where operands have more bits than the
weights: with operands as narrow as the weights their rounding decides, and what the weights' points
then win on the calibration recordings is not kept on others (docs/quantisation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fxp.binary_point import CALIBRATORS, MSE_BITS
from fxp.calibrate import CHANNEL_SPREAD_BITS, Formats, calibrate
from fxp.cast import FloatArray, IntArray
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Conv, Flatten, TemporalConv
from fxp.lower import lower
from fxp.outline import outline
from fxp.ptq.repair import gram
from fxp.ptq.rounding import nearest, output_error
from fxp.ptq.search import binary_points, divergence_of, tensors, with_points
from fxp.ranges import certify
from fxp.spec import QuantSpec


def best_formats(
    net: FloatNet,
    quant: QuantSpec,
    clips: Sequence[IntArray],
    wanted: Sequence[FloatArray],
    on_tensor: Callable[[str, float], None] | None = None,
) -> Formats:
    """The formats of `net`, every binary point by the calibrator that serves the classes best.

    A choice that cannot be lowered is none, and where two are equal the earlier of `CALIBRATORS`
    stays.

    Args:
        net: the float network with its observations.
        quant: widths and modes; its `calibrator` does not count.
        clips: words of calibration recordings, int64 `(T, C, V)` each.
        wanted: the float network's logits, `(T, K)` of each clip.
        on_tensor: told the name of each tensor that was decided, and the least divergence so far.

    Raises:
        InputError: as `calibrate`.
        GraphError: no calibrator gives a network that can be lowered.
    """

    def judged(formats: Formats) -> float:
        try:
            return divergence_of(lower(net, formats), clips, wanted)
        except (GraphError, FormatError):
            return float("inf")

    by_name = [
        calibrate(net, quant.model_copy(update={"calibrator": name})) for name in CALIBRATORS
    ]
    losses = [judged(formats) for formats in by_name]
    best = min(losses)
    formats = by_name[losses.index(best)]
    if best == float("inf"):
        certify(lower(net, formats))  # says why
    points = [binary_points(formats) for formats in by_name]
    convs = dict(_narrower_than_operands(net, formats))
    for key in tensors(net, formats):
        current = binary_points(formats)
        choices = [own[key] for own in points]
        if len(current[key]) > 1 and key in convs:
            coarsest = choices[CALIBRATORS.index("max")]
            choices.append(by_output(net, formats, convs[key], clips, coarsest))
        for choice in dict.fromkeys(choices):
            if choice == current[key]:
                continue
            tried = with_points(formats, {**current, key: choice})
            if (loss := judged(tried)) < best:
                formats, best = tried, loss
        if on_tensor is not None:
            on_tensor(key, best)
    return formats


def _narrower_than_operands(
    net: FloatNet, formats: Formats
) -> Iterator[tuple[str, Conv | TemporalConv]]:
    """Convolutions of which the weights have fewer bits than what they read, by their key."""
    nodes = outline(net.arch).nodes
    flat = {node.name: node.x for node in nodes if isinstance(node, Flatten)}
    for node in nodes:
        if isinstance(node, Conv | TemporalConv):
            key = f"{node.name}.weight"
            read = formats.casts[flat.get(node.x, node.x)].to
            if formats.weights[key][0] < read.word_bits:
                yield key, node


def by_output(
    net: FloatNet,
    formats: Formats,
    node: Conv | TemporalConv,
    clips: Sequence[IntArray],
    coarsest: Sequence[int],
) -> tuple[int, ...]:
    """The `frac_bits` of each output channel of a convolution by the error of what it gives.

    For the error `e` of a channel's rounded weights and the Gram matrix `H` of the operands that
    the integer network gives the layer, that is `e H e^T` (`fxp.ptq.rounding`). Compared are the
    formats that `mse` compares; a tie goes to the larger range.

    Args:
        net, formats: the network as it is so far; what `node` reads is computed in it.
        node: the convolution, of the network's outline.
        clips: words of calibration recordings, int64 `(T, C, V)` each.
        coarsest: by channel, the `frac_bits` at which nothing clips.
    """
    key = f"{node.name}.weight"
    word_bits, _ = formats.weights[key]
    weight = net.params[key].reshape(len(net.params[key]), -1)  # (Cout, Cin * taps)
    statistics = gram(lower(net, formats), node, clips)
    most = min(coarsest) + CHANNEL_SPREAD_BITS
    tried = np.minimum(np.array(coarsest) + np.arange(MSE_BITS + 1)[:, None], most)
    errors = [
        output_error(weight, nearest(weight, word_bits, frac_bits), statistics)
        for frac_bits in tried
    ]
    return tuple(np.take_along_axis(tried, np.argmin(errors, axis=0)[None], axis=0)[0].tolist())
