"""Other networks of the family at 8 bits beside torch's best form of each."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.bench_simulate import random_net
from benchmarks.performance_float import clip_forms
from benchmarks.performance_names import LONGER, MSGCN, OWN, STGCN
from benchmarks.performance_results import Section
from benchmarks.performance_work import (
    EXAMPLES,
    FRAMES,
    LONG_FRAMES,
    Size,
    Timings,
    Work,
    compare,
    lowered,
    noise,
)
from fxp.fused.tiers import Tier
from fxp.ir import Conv, Graph, TemporalConv, timings
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, load_spec
from fxp.validate import describe

BITS = 8


def networks(size: Size) -> Section:
    """MS-GCN as released for HuGaDB; ST-GCN as published, for one NTU skeleton of 25 joints."""
    stgcn = load_spec(ArchSpec, EXAMPLES / "kinetics_stgcn.yaml")
    ntu = stgcn.model_copy(update={"skeleton": "ntu", "persons": 1, "classes": 60})
    msgcn = load_spec(ArchSpec, EXAMPLES / "hugadb_msgcn.yaml")
    section, checks = Timings(), []
    for group, arch, wanted in (
        (MSGCN, msgcn, FRAMES),
        (LONGER, msgcn, LONG_FRAMES),
        (STGCN, ntu, 300),
    ):
        frames, net = size.frames(wanted), random_net(arch, seed=0)
        graph = lowered(net, BITS)
        plan, clip = compile_graph(graph), noise(graph, frames)
        slow = compile_graph(graph, tiers=frozenset({Tier.GENERIC}))
        words = run(plan, clip)[0]
        checks.append(compare(f"{group.split(',')[0]}, {frames} frames", words, run(slow, clip)[0]))
        x = torch.randn(frames, *clip.shape[1:])
        work: dict[str, Work] = {OWN: partial(run, plan, clip)}
        for name, form in clip_forms(net).items():
            work[name] = partial(form, x)
        repeats = min(size.repeats, 7 if group == LONGER else 11)
        section.by_turns(group, work, repeats, frames=frames, macs=macs_per_frame(graph))
    return section.section(checks)


def macs_per_frame(graph: Graph) -> int:
    """Multiplications of the convolutions per frame of the input: fewer behind a stride."""
    about, when = describe(graph), timings(graph)
    return sum(
        node.weight.raw.size * about[node.name].joints // when[node.name].period
        for node in graph.nodes
        if isinstance(node, Conv | TemporalConv) and when[node.name].period
    )
