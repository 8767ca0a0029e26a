"""The calibrator of every tensor, chosen by its end effect: `calibrator: best`.

Which calibrator suits a tensor depends on what reads it, not on the tensor alone. So the four are
compared by what the whole network makes of them: first each for all tensors at once, then, from the
best of those, tensor by tensor in the order of the network. What is compared is the divergence of
the classes on calibration recordings (`fxp.ptq.search.divergence_of`): it needs no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fxp.binary_point import CALIBRATORS
from fxp.calibrate import Formats, calibrate
from fxp.cast import FloatArray
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.lower import lower
from fxp.ptq.reference import Words
from fxp.ptq.search import binary_points, divergence_of, tensors, with_points
from fxp.ranges import certify
from fxp.spec import QuantSpec


def best_formats(
    net: FloatNet,
    quant: QuantSpec,
    clips: Sequence[Words],
    wanted: Sequence[FloatArray],
    on_tensor: Callable[[str, float], None] | None = None,
) -> Formats:
    """The formats of `net`, every binary point by the calibrator that serves the classes best.

    A choice that cannot be lowered is none, and where two are equal the earlier of `CALIBRATORS`
    stays.

    Args:
        net: the float network with its observations.
        quant: widths and modes; its `calibrator` does not count.
        clips: words of calibration recordings, integers `(T, C, V)` each.
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
    for key in tensors(net, formats):
        current = binary_points(formats)
        for choice in dict.fromkeys(own[key] for own in points):
            if choice == current[key]:
                continue
            tried = with_points(formats, {**current, key: choice})
            if (loss := judged(tried)) < best:
                formats, best = tried, loss
        if on_tensor is not None:
            on_tensor(key, best)
    return formats
