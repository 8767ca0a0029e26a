"""How a quantised network is trained, as data: one frozen model, readable from YAML, no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fxp.spec import AccumulatorBits, Positive, Spec
from stgcn_ref.recipe import NotNegative, Share, TrainRecipe


class BinaryPoints(Spec):
    """How binary points are learnt: steps of about `lr` places, scheduled as the recipe's `lr`.

    The schedule ends after the share `until` of the training; then the points stay, and the numbers
    settle in formats that no longer jump. No point moves by more than `most` places from where it
    was calibrated.
    """

    lr: Annotated[float, Field(gt=0)] = 0.03
    until: Annotated[float, Field(gt=0, le=1)] = 0.5
    most: Annotated[float, Field(gt=0, le=8)] = 2.0


class QatRecipe(TrainRecipe):
    """A short training of the integer network that a float network was calibrated to.

    Sampling, loss and schedule are those of `TrainRecipe`, and so are their keys. Four
    things differ. `lr` is relative: each tensor moves by steps of `lr` times the root mean square
    of its own numbers, because folded norms leave tensors of very different size. The loss is
    `distillation` times the divergence from the float network's classes, at `temperature`
    (Hinton, Vinyals & Dean 2015), plus the rest times the loss of `TrainRecipe`. And there is no
    dropout: a folded network has none.

    With `select_by: agreement` the best epoch is the one whose labels on the validation recordings
    agree best with the float network's, by steps and by segments (`stgcn_ref.judge.label_loss`);
    with `divergence` the one whose class probabilities are nearest to them. Neither needs true
    labels there. With `select_by: metric` it is chosen as in `TrainRecipe`.

    Before the training, a search moves binary points on `search_frames` frames of the training
    data, at most `search_sweeps` times through the network (0: they stay as calibrated).

    `search_streams` is how often, at most, a second search goes through the residual streams. It
    moves all points of a stream together, and judges by labels, as `agreement` does, on some whole
    training recordings that nothing was calibrated on: flicker is seen in whole recordings alone.

    `accumulators` are widths in bits that the trained network is guaranteed to keep to: one number
    for all of its accumulators, or numbers by layer (`block0`, `classifier`) or glob (`block*`), of
    which the last that matches counts; layers without one stay free.

    With `learn_binary_points` the `frac_bits` of casts and constants are trained too
    (`stgcn_ref.qat.points`). It does not go with `accumulators`, whose widths are kept in formats
    that stay.

    `earlier_stages` is the weight in the loss of each stage of MS-GCN before the last, whose own
    weight is 1; it counts in the distillation and in the loss of labels alike.
    """

    epochs: Positive = 4
    segment: Positive = 256
    lr: Annotated[float, Field(gt=0)] = 0.01
    weight_decay: NotNegative = 0.0
    dropout: Annotated[float, Field(ge=0, le=0)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.98
    select_from: Share = 0.0
    distillation: Share = 1.0
    select_by: Literal["agreement", "divergence", "metric"] = "agreement"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    search_sweeps: Annotated[int, Field(ge=0)] = 0
    search_frames: Positive = 6144
    search_streams: Annotated[int, Field(ge=0)] = 0
    accumulators: AccumulatorBits = Field(default_factory=dict)
    learn_binary_points: BinaryPoints | None = None
    earlier_stages: Share = 0.0

    @model_validator(mode="after")
    def _formats_that_stay(self) -> Self:
        if self.learn_binary_points is not None and self.accumulators:
            raise ValueError("`learn_binary_points` does not go with `accumulators`")
        return self
