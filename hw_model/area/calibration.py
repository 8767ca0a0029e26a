"""The area models that come with the toolkit: what a bit of each term costs, and how wrong that is.

`python -m hw_model calibrate` writes them, from syntheses of the engine and its units with Yosys.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from importlib import resources
from typing import Annotated

from pydantic import Field

from fxp.spec import Spec, load_spec
from hw_model.accelerator import Target
from hw_model.area.unit_terms import Unit

Quantity = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AreaModel(Spec):
    """`prices` by term; relative errors over what no price was fitted to, in percent."""

    prices: Mapping[str, Quantity]
    mean_error: Quantity
    worst_error: Quantity

    def estimate(self, terms: Mapping[str, float]) -> float:
        """The sum over the terms."""
        return sum(price * terms[name] for name, price in self.prices.items())


class HeldOut(Spec):
    """An engine that no price was fitted to: what was measured and what the models say."""

    engine: str
    measured: Mapping[str, float]
    estimated: Mapping[str, float]


class HeldOutUnit(Spec):
    """A unit that no price was fitted to."""

    unit: str
    measured: Mapping[str, float]
    estimated: Mapping[str, float]


class UnitModels(Spec):
    """The models of a unit, and what they come from; `rtl_sha256` is the hash of its modules."""

    rtl_sha256: str
    date: datetime.date
    fitted: Annotated[int, Field(ge=1)]
    models: Mapping[str, AreaModel]
    held_out: tuple[HeldOutUnit, ...]


class Calibration(Spec):
    """The models of one target, and what they come from.

    `tool` and `commands` are those of the syntheses, `rtl_sha256` the hash of the engine's modules,
    `liberty_sha256` that of the standard cells. `units` are what an engine may have beside lanes.
    """

    target: Target
    tool: str
    commands: tuple[str, ...]
    rtl_sha256: str
    liberty_sha256: str | None = None
    date: datetime.date
    fitted: Annotated[int, Field(ge=1)]
    models: Mapping[str, AreaModel]
    held_out: tuple[HeldOut, ...]
    units: Mapping[Unit, UnitModels]


@functools.cache
def load_calibration(target: Target) -> Calibration:
    """The models of a target.

    Raises:
        InputError: the file breaks a rule.
    """
    with resources.as_file(resources.files("hw_model") / "area" / f"{target}.yaml") as file:
        return load_spec(Calibration, file)
