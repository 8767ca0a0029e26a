"""How a float network is trained, as data: one frozen model, readable from YAML, no torch.

The same network, data, recipe and seed give the same weights on the same machine; every field
here is part of the key under which a trained checkpoint is cached.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fxp.spec import Positive, Spec

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Augmentation(Spec):
    """Random changes of a training segment, drawn anew each time it is used.

    `rotation_deg`: standard deviation of a random rotation of every 3-channel vector
    (each component of its rotation vector; one per joint and segment: a sensor worn differently;
    one per clip of whole persons: seen from another side);
    the first `vectors` channel triples turn, further channels stay. `vector_scale`: by triple, the
    standard deviation of its log gain, drawn per joint. `noise`: white noise in units of each
    feature's standard deviation. `time_scale`: largest relative change of speed. `joint_drop`:
    probability that a joint of a segment shows its mean only.
    """

    vectors: Annotated[int, Field(ge=0)] = 0
    rotation_deg: NotNegative = 0.0
    vector_scale: tuple[NotNegative, ...] = ()
    noise: NotNegative = 0.0
    time_scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    joint_drop: Share = 0.0

    @model_validator(mode="after")
    def _gains_of_vectors(self) -> Self:
        given = len(self.vector_scale)
        if given > self.vectors:
            raise ValueError(f"`vector_scale` has {given} entries for {self.vectors} `vectors`")
        return self


class TrainRecipe(Spec):
    """Optimisation, loss and data sampling of one training.

    Long clips are cut into segments of `segment` frames that count in the loss (none is cut if
    `segment` is as long as the longest clip), each with context that does not count: before it up
    to `warmup` frames that fill the FIFOs (default: those that the network looks back on), behind
    it the frames that the network looks ahead to, in a network that does; on each side at most
    `warmup_limit`, or `warmup` where that is given.

    A step takes `batch * accumulate` segments, `batch` at a time, and follows the gradient of the
    mean over all their counted frames. With LayerNorm that equals one large batch; BatchNorm
    normalises every pass by its own frames.

    The loss is cross-entropy, classes weighted by `frequency ** -class_balance`, plus `smoothing`
    times the truncated mean square of the change of the log-softmax from frame to frame, cut at
    `smoothing_limit` (the earlier frame detached; Farha & Gall, MS-TCN, equation 9, as MS-GCN uses
    it). The optimiser is AdamW with a cosine from `lr` to 0 after a linear rise over the first
    `lr_rise` of all steps. `ema`: decay per step of the averaged weights that are validated and
    kept (0: the weights themselves). After every epoch from `select_from` (share of all epochs) on,
    the network is validated; the best by `metric` is kept, and training stops once `patience`
    epochs brought nothing better.

    A network of whole clips reads a window of `segment` frames of each clip, from a random one on
    (the whole clip if it is no longer), `batch` clips at a time; it is validated on whole clips and
    the best by top-1 accuracy is kept. Context, smoothing and `metric` are not for it.
    """

    epochs: Positive = 20
    batch: Positive = 8
    accumulate: Positive = 1
    segment: Positive = 512
    warmup: Annotated[int, Field(ge=0)] | None = None
    warmup_limit: Annotated[int, Field(ge=0)] = 512
    lr: Annotated[float, Field(gt=0)] = 6e-3
    lr_rise: Share = 0.05
    weight_decay: NotNegative = 1e-4
    gradient_limit: Annotated[float, Field(gt=0)] = 5.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    smoothing: NotNegative = 0.15
    smoothing_limit: Annotated[float, Field(gt=0)] = 16.0
    class_balance: Share = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: Augmentation = Augmentation()
    metric: Literal["frame_accuracy", "f1_10", "f1_25", "f1_50", "edit", "mean"] = "mean"
    select_from: Share = 0.0
    patience: Positive = 10
