"""What a choice of widths is asked: which widths there are, what is saved, and what may be lost."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from dse.metrics import COSTS
from fxp.spec import Spec, WordBits

Widths = Annotated[tuple[WordBits, ...], Field(min_length=1)]
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Clips = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


class Budget(Spec):
    """What may be lost on the selection recordings; at least one of the two.

    `divergence`: mean Kullback-Leibler divergence of the class probabilities from the float
    network's, in nats a step, at most so much. `agreement`: percent of steps with the float
    network's label, at least so many.
    """

    divergence: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    agreement: Annotated[float, Field(ge=0, lt=100)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.divergence is None and self.agreement is None:
            raise ValueError("`divergence` or `agreement` is needed")
        return self


class MixRecipe(Spec):
    """How widths are chosen.

    - `accelerator`: preset or YAML file; `cost`: what to save on it, by names of `dse.metrics` of
      which less is better. Of several the sum is saved, each relative to the widest design's and
      times its share.
    - `weights`, `operands`, `streams`: the widths that a layer's may have.
    - `beyond`: designs that lose up to so many times the budget are looked at too, for the front.
    - `calibration_clips`: recordings that formats and repairs are taken from, `selection_clips`:
      others of the same participants, on which the loss is measured. Both are spread evenly.
    - `knapsacks`: designs of the additive model to measure, `evaluations`: of the search after it.
    - `proxy_clips`: selection recordings for the Fisher proxy; 0: none, and no torch is loaded.
    """

    accelerator: str = "zu7ev"
    cost: Annotated[dict[str, Share], Field(min_length=1)] = Field({"memory_weights_bits": 1.0})
    budget: Budget
    beyond: Annotated[float, Field(ge=1, le=1000)] = 4.0
    weights: Widths = (2, 3, 4, 5, 6, 7, 8)
    operands: Widths = (4, 5, 6, 7, 8)
    streams: Widths = (6, 7, 8, 9, 10, 11, 12)
    calibration_clips: Clips = 16
    selection_clips: Clips = 16
    knapsacks: Count = 40
    evaluations: Count = 300
    proxy_clips: Count = 4
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @field_validator("weights", "operands", "streams")
    @classmethod
    def _sorted(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    @field_validator("cost")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        allowed = [name for name, metric in COSTS.items() if metric.better == "min"]
        for name in value:
            if name not in allowed:
                raise ValueError(f"unknown cost {name!r}, allowed: {', '.join(allowed)}")
        return value
