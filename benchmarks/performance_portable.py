"""The simulator without the newest instructions: other tiers here, and as an older processor.

LLVM makes `vpdpwssd` of a `vpmaddwd` and an addition where it may, so a tier alone does not show
what a processor without AVX-512 does. `avx2` therefore runs in a process that is told to be one.
"""

from __future__ import annotations

from functools import partial

from benchmarks.bench_simulate import conv_macs
from benchmarks.performance_names import AVX2, MADD, PLAIN, SHORT
from benchmarks.performance_results import Section
from benchmarks.performance_widths import best_forms, on_a_clip
from benchmarks.performance_work import (
    FRAMES,
    Size,
    Timings,
    Work,
    compare,
    lowered,
    noise,
    published,
)
from fxp.fused.tiers import Tier, machine_tiers
from fxp.simulate import compile_graph, run

BITS = 8


def portable(size: Size) -> Section:
    """8 bits by the 16-bit tiers that need no AVX-512, LLVM being free to fuse."""
    alone = {MADD: Tier.MADD16, PLAIN: Tier.PLAIN16}
    tiers = {
        name: frozenset({tier, Tier.GENERIC})
        for name, tier in alone.items()
        if tier in machine_tiers()
    }
    return _measured(size, SHORT, tiers)


def avx2(size: Size, group: str) -> Section:
    """The same in a process that was started in the environment of an AVX2 processor.

    Raises:
        RuntimeError: the process is not what it should be.
    """
    found = machine_tiers()
    if found != {Tier.MADD16, Tier.PLAIN16, Tier.GENERIC}:
        raise RuntimeError(f"an AVX2 processor has other tiers: {', '.join(sorted(found))}")
    return _measured(size, group, {AVX2: found})


def _measured(size: Size, group: str, tiers: dict[str, frozenset[Tier]]) -> Section:
    timings, net = Timings(), published()
    graph, frames = lowered(net, BITS), size.frames(FRAMES)
    clip = noise(graph, frames)
    expected, _ = run(compile_graph(graph, tiers=frozenset({Tier.GENERIC})), clip)
    checks, work = [], dict[str, Work]()
    for name, chosen in tiers.items():
        plan = compile_graph(graph, tiers=chosen)
        checks.append(
            compare(f"{BITS} bits, {name}, {frames} frames", run(plan, clip)[0], expected)
        )
        work[name] = partial(run, plan, clip)
    timings.by_turns(
        group,
        {**work, **on_a_clip(net, best_forms(net), frames)},
        size.repeats,
        frames=frames,
        macs=conv_macs(graph),
    )
    return timings.section(checks)
