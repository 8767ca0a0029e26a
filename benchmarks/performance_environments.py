"""In which environments a section is measured, and what the machine is."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llvmlite import binding

from benchmarks.peers import processor
from benchmarks.performance_names import FREE, HELD
from benchmarks.performance_results import Machine, SectionName
from fxp.fused.tiers import machine_tiers

PACKAGES = ("numpy", "numba", "llvmlite", "torch")
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",  # for numba and LLVM there is nothing beyond AVX2
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+sse4.2,+bmi,+bmi2,+popcnt,+avx",
}
TORCH_AVX2 = {  # torch's own switches
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def environments(name: SectionName, cache: str) -> dict[str, dict[str, str]]:
    """Variables, besides the quiet ones, of each process that measures a part of a section.

    `cache` is a folder for compiled code that nobody else may find. Keys name the groups of rows
    where there are several parts.
    """
    if name != "avx2":
        return {"": {}}
    own = {**AVX2, "NUMBA_CACHE_DIR": cache}
    return {FREE: own, HELD: {**own, **TORCH_AVX2}}


def machine() -> Machine:
    """Where this runs, now."""
    return Machine(
        processor=f"{processor()}{_model()}",
        cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cache=_cache(),
        system=f"{platform.system()} {platform.machine()}",
        tiers=tuple(sorted(tier.value for tier in machine_tiers())),
        versions={
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
            "LLVM": ".".join(map(str, binding.llvm_version_info)),
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _model() -> str:
    """Family and model, where the system gives them: a name may hide which processor it is."""
    lines = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    parted = (line.partition(":") for line in lines.splitlines())
    found = {key.strip(): value.strip() for key, _, value in parted}
    known = [f"{key} {found[key]}" for key in ("cpu family", "model") if key in found]
    return f" ({', '.join(known)})" if known else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _cache() -> str:
    """Sizes of the first core's caches, as the system gives them."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / k).read_text().strip() for k in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found) or "unknown"
