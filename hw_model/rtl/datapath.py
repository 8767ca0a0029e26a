"""How wide the datapath behind the lanes must be: collected pass by pass, then parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from fxp.qformat import Cast, Overflow, Rounding

ROUNDINGS = tuple(Rounding)  # numbered in this order in the engine
OVERFLOWS = tuple(Overflow)
UNITS = {  # parameters of units that a network may have, and their least values
    "HAS_LAYER_NORM": 0,
    "NORM_X_BITS": 1,
    "NORM_WORDS_BITS": 1,
    "NORM_S0_BITS": 1,
    "NORM_S1_BITS": 1,
    "NORM_VARIANCE_BITS": 1,
    "NORM_K_BITS": 1,
    "NORM_NUMERATOR_BITS": 1,
    "HAS_SOFTMAX": 0,
    "SHARE_X_BITS": 1,
    "SHARE_JOINTS": 1,
    "SHARE_JOINT_BITS": 1,
    "SHARE_ENTRY_BITS": 1,
    "SHARE_SUM_BITS": 1,
    "SHARE_BITS": 1,
    "HAS_CLIP_MEAN": 0,
    "MEAN_X_BITS": 1,
    "MEAN_SUM_BITS": 1,
    "MEAN_COUNT_BITS": 1,
    "MEAN_BITS": 1,
}
STAGES = ("acc", "cast0", "sum", "shift", "cast1", "add", "emit")


@dataclass(slots=True)
class Shifts:
    """The shifts that a cast of the datapath must do; nothing yet."""

    least: int | None = None
    most: int | None = None

    def include(self, *shifts: int) -> None:
        """One more cast, its shift in some channels different."""
        low, high = min(shifts), max(shifts)
        self.least = low if self.least is None else min(self.least, low)
        self.most = high if self.most is None else max(self.most, high)

    @property
    def range(self) -> tuple[int, int]:
        """Least and most; where nothing casts, no shift."""
        return self.least or 0, self.most or 0


@dataclass(slots=True)
class Datapath:
    """Widths in bits by stage, shifts by cast, modes, and which slots exist."""

    stage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 1))
    shifts: dict[str, Shifts] = field(
        default_factory=lambda: {name: Shifts() for name in ("cast0", "cast1", "emit")}
    )
    roundings: set[Rounding] = field(default_factory=set)
    overflows: set[Overflow] = field(default_factory=set)
    slots: set[str] = field(default_factory=set)
    fifo_bits: int = 1
    total_bits: int = 1
    x_bits: int = 1
    weight_bits: int = 1
    coef_bits: int = 1
    turns: int = 1
    operand_digits: int = 1
    out_bits: int = 1
    index_bits: int = 1
    argmax: bool = False
    units: dict[str, int] = field(default_factory=UNITS.copy)

    def need(self, **units: int) -> None:
        """A pass needs parameters of a unit to be at least these."""
        self.units |= {name: max(self.units[name], least) for name, least in units.items()}

    def widen(self, stage: str, bits: int) -> None:
        """A value of `bits` leaves a stage."""
        self.stage[stage] = max(self.stage[stage], bits)

    def cast(self, stage: str, cast: Cast, shifts: tuple[int, ...]) -> None:
        """A cast is done in a stage."""
        self.shifts[stage].include(*shifts)
        self.roundings.add(cast.rounding)
        self.overflows.add(cast.overflow)
        self.slots.add(stage)

    def joined(self, other: Datapath) -> Datapath:
        """One that serves both: the same hardware for several programs."""
        both = Datapath()
        for name in STAGES:
            both.stage[name] = max(self.stage[name], other.stage[name])
        for name, shifts in both.shifts.items():
            for one in (self.shifts[name], other.shifts[name]):
                if one.least is not None and one.most is not None:
                    shifts.include(one.least, one.most)
        both.roundings = self.roundings | other.roundings
        both.overflows = self.overflows | other.overflows
        both.slots = self.slots | other.slots
        both.argmax = self.argmax or other.argmax
        both.need(**self.units)
        both.need(**other.units)
        widths = ("fifo_bits", "total_bits", "x_bits", "weight_bits", "coef_bits", "out_bits")
        for name in (*widths, "index_bits", "turns", "operand_digits"):
            setattr(both, name, max(getattr(self, name), getattr(other, name)))
        return both


def cast_fields(slot: str, cast: Cast, shift: int, relu: bool) -> dict[str, int]:
    """The fields of a cast in a slot."""
    return {
        f"{slot}_on": 1,
        f"{slot}_shift": shift,
        f"{slot}_rounding": ROUNDINGS.index(cast.rounding),
        f"{slot}_overflow": OVERFLOWS.index(cast.overflow),
        f"{slot}_bits": cast.to.word_bits,
        f"{slot}_signed": int(cast.to.signed),
        f"{slot}_relu": int(relu),
    }
