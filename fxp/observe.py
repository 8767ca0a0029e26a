"""What a tensor's values look like over many clips: extremes and a bounded random sample.

A `Reservoir` collects in a stream, in bounded memory, and two of them merge into what one would
hold after both streams. Every value gets a uniform random priority and the `capacity` smallest
priorities stay, which is a uniform sample without replacement; the seed and the order of the calls
decide it, nothing else does. `observation` freezes the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

CAPACITY = 8192  # a percentile of 99.99 then rests on about one value, a mean square on thousands


@dataclass(frozen=True, eq=False)
class Observation:
    """Values of one accumulator, before any ReLU: extremes and a sample, in real units."""

    lo: float
    hi: float
    sample: npt.NDArray[np.float32]


@dataclass(eq=False)
class Reservoir:
    """Statistics so far. Fill it with `observe_update`, join two with `observe_merge`."""

    seed: int
    capacity: int = CAPACITY
    count: int = 0
    lo: float = np.inf
    hi: float = -np.inf
    sample: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    priority: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)


def observe_update(into: Reservoir, values: npt.ArrayLike, name: str = "tensor") -> None:
    """Take in values of any shape (kept as float32).

    Raises:
        InputError: a NaN or an infinity (the line starts with `name`).
    """
    flat = np.asarray(values, dtype=np.float32).ravel()
    if flat.size == 0:
        return
    lo, hi = float(flat.min()), float(flat.max())
    if not (np.isfinite(lo) and np.isfinite(hi)):
        raise InputError(f"{name}: only finite values can be observed, got {lo} to {hi}")
    into.count += flat.size
    into.lo, into.hi = min(into.lo, lo), max(into.hi, hi)
    # No more than `capacity` of the new values can enter: draw the lowest of their priorities, in
    # order (sums of exponential steps are uniform order statistics), and which values they fall on.
    lowest = min(flat.size, into.capacity)
    steps = into.rng.standard_exponential(lowest).cumsum()
    priority = steps / (steps[-1] + into.rng.standard_gamma(flat.size + 1 - lowest))
    if into.sample.size == into.capacity:
        priority = priority[: np.searchsorted(priority, into.priority[-1])]
    chosen = into.rng.choice(flat.size, priority.size, replace=False)
    _keep(into, flat[chosen], priority)


def observe_merge(into: Reservoir, other: Reservoir) -> None:
    """Make `into` what it would be after the stream of `other` as well.

    The two need different seeds, or their priorities are the same numbers.
    """
    into.count += other.count
    into.lo, into.hi = min(into.lo, other.lo), max(into.hi, other.hi)
    _keep(into, other.sample, other.priority)


def observation(reservoir: Reservoir, name: str = "tensor") -> Observation:
    """The statistics so far.

    Raises:
        InputError: nothing was observed (the line starts with `name`).
    """
    if reservoir.count == 0:
        raise InputError(f"{name}: no value was observed")
    return Observation(reservoir.lo, reservoir.hi, reservoir.sample)


def _keep(
    into: Reservoir, sample: npt.NDArray[np.float32], priority: npt.NDArray[np.float64]
) -> None:
    """Add candidates, then keep the `capacity` lowest priorities (in order of priority)."""
    joined = np.concatenate([into.priority, priority])
    lowest = np.argsort(joined, kind="stable")[: into.capacity]
    into.priority = joined[lowest]
    into.sample = np.concatenate([into.sample, sample])[lowest]
