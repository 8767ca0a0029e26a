"""Where labels of points can stand without touching each other: plain geometry in pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Directions tried in this order, at each distance in turn: above, then clockwise.
_DIRECTIONS = (
    (0.0, 1.0),
    (0.71, 0.71),
    (1.0, 0.0),
    (0.71, -0.71),
    (0.0, -1.0),
    (-0.71, -0.71),
    (-1.0, 0.0),
    (-0.71, 0.71),
)


@dataclass(frozen=True)
class Box:
    """An upright rectangle by centre and half extents."""

    x: float
    y: float
    half_width: float
    half_height: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            abs(self.x - other.x) < self.half_width + other.half_width
            and abs(self.y - other.y) < self.half_height + other.half_height
        )

    def within(self, other: Box) -> bool:
        """Whether this one lies wholly in the other."""
        return (
            abs(self.x - other.x) <= other.half_width - self.half_width
            and abs(self.y - other.y) <= other.half_height - self.half_height
        )


def place(
    points: Sequence[Box], sizes: Sequence[tuple[float, float]], room: Box, steps: Iterable[float]
) -> list[tuple[float, float] | None]:
    """Offset of each label's centre from its point, or None where no place is free.

    Greedy, in the order given: a label avoids every point and every label placed before it, and
    stays within `room`. `sizes` are half extents; `steps` the gaps tried between point and label.
    """
    distances = list(steps)
    taken = list(points)
    offsets: list[tuple[float, float] | None] = []
    for point, (half_width, half_height) in zip(points, sizes, strict=True):
        offset = None
        for gap in distances:
            offset = _free(point, half_width, half_height, gap, room, taken)
            if offset is not None:
                taken.append(Box(point.x + offset[0], point.y + offset[1], half_width, half_height))
                break
        offsets.append(offset)
    return offsets


def _free(
    point: Box, half_width: float, half_height: float, gap: float, room: Box, taken: Sequence[Box]
) -> tuple[float, float] | None:
    for right, up in _DIRECTIONS:
        dx = right * (point.half_width + half_width + gap)
        dy = up * (point.half_height + half_height + gap)
        box = Box(point.x + dx, point.y + dy, half_width, half_height)
        if box.within(room) and not any(box.overlaps(other) for other in taken):
            return dx, dy
    return None
