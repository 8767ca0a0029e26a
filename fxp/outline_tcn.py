"""How a residual TCN is put together (Kim & Reiter), see `fxp.outline`.

Node names: `flatten` is a frame as one vector, `stem` the convolution over it; in a block the norm
reads the sum of the block before, `block{i}.norm`, `.tconv`, `.residual` (where channels change),
`.add`; then `norm` and `classifier`.
"""

from __future__ import annotations

from fxp.draft import Draft
from fxp.ir import Add, Flatten
from fxp.spec import ArchSpec


def tcn(draft: Draft, arch: ArchSpec) -> str:
    """All nodes up to the classifier, whose accumulator is returned.

    Norms stay affine nodes: the sum that a norm reads also feeds the identity shortcut. Of an even
    number of taps one more lies ahead of the frame than behind it, as Keras pads.
    """
    assert arch.embedding is not None
    taps, inputs = arch.window[0], arch.embedding
    vector = draft.add(Flatten("flatten", draft.normalised_input(arch.in_channels)))
    features = (arch.in_channels * draft.joints, inputs)
    total = draft.tconv("stem", vector, features, taps, lookahead=taps // 2)
    layers = zip(arch.channels, arch.dilation, arch.residuals, strict=True)
    for i, (outputs, dilation, residual) in enumerate(layers):
        name, convolved = f"block{i}", residual == "conv"
        operand = draft.cast(total) if convolved else ""
        stream = draft.cast(total, "stream")
        active = draft.cast(draft.norm(f"{name}.norm", stream, inputs), relu=True)
        channels, ahead = (inputs, outputs), taps // 2 * dilation
        tconv = draft.tconv(f"{name}.tconv", active, channels, taps, dilation, lookahead=ahead)
        main = draft.cast(tconv)
        if convolved:
            stream = draft.cast(draft.conv(f"{name}.residual", operand, outputs, inputs))
        total, inputs = draft.add(Add(f"{name}.add", main, stream)), outputs
    last = draft.cast(draft.norm("norm", draft.cast(total, "stream"), inputs), relu=True)
    return draft.conv("classifier", last, arch.classes, inputs)
