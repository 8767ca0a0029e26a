"""Which instructions multiply: the tiers, what each of them holds, and what this machine can do."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from llvmlite import binding
from numba.core import config

_INT32 = np.iinfo(np.int32)


class Tier(StrEnum):
    """How a product is computed; all give the same words."""

    INT8 = "int8"  # vpdpbusd: four products of bytes per lane
    INT16 = "int16"  # vpdpwssd: two products of 16 bits per lane
    MADD16 = "madd16"  # vpmaddwd and an addition
    PLAIN16 = "plain16"  # plain multiplications, on any processor
    GENERIC = "generic"  # the kernel of the node alone, 32 or 64 bits


def machine_tiers() -> frozenset[Tier]:
    """The tiers whose instructions this processor has, or is told to have (NUMBA_CPU_FEATURES)."""
    return _tiers_of(_features())


def _tiers_of(features: frozenset[str]) -> frozenset[Tier]:
    found = {Tier.PLAIN16, Tier.GENERIC}
    if "avx2" in features:
        found.add(Tier.MADD16)
    if {"avx512vnni", "avx512bw", "avx512vl", "avx512dq"} <= features:
        found |= {Tier.INT8, Tier.INT16}
    return frozenset(found)


def _features() -> frozenset[str]:
    named, cpu = (getattr(config, key) for key in ("CPU_FEATURES", "CPU_NAME"))
    if named is not None or cpu not in (None, "host"):
        parts = (named or "").split(",")
        return frozenset(part[1:] for part in parts if part.startswith("+"))
    return frozenset(name for name, there in binding.get_host_cpu_features().items() if there)


def fits_int32(lo: int, hi: int) -> bool:
    """Whether an accumulator of 32 bits ends with the right sum."""
    return _INT32.min <= lo and hi <= _INT32.max
