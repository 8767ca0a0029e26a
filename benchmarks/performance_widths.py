"""Equal words in every tier, and then the speed of each width on one thread beside torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.bench_simulate import conv_macs
from benchmarks.performance_names import COMPILED, LONG, MKL, ONEDNN, SHORT
from benchmarks.performance_peak import MACS, SUMS, peaks
from benchmarks.performance_results import Section
from benchmarks.performance_work import (
    FRAMES,
    LONG_FRAMES,
    Size,
    Timings,
    Work,
    compare,
    lowered,
    noise,
    published,
    say,
)
from benchmarks.torch_forms import forms
from fxp.floatnet import FloatNet
from fxp.fused.tiers import Tier, machine_tiers
from fxp.oracle import evaluate
from fxp.simulate import compile_graph, run

WIDTHS = (8, 12, 16, 24)
ORACLE_FRAMES = 2
PEAK_ROUNDS = 10_000_000

Form = Callable[[Tensor], Tensor]  # a clip (T, C, V) -> logits


def words(size: Size) -> Section:
    """The fast engine against the node-by-node one, and both against the definition."""
    timings, checks = Timings(), []
    frames = size.frames(FRAMES)
    for bits in WIDTHS:
        graph = lowered(published(), bits)
        clip = noise(graph, frames)
        slow = compile_graph(graph, tiers=frozenset({Tier.GENERIC}))
        first = graph.nodes[0].name  # a value in between: the engine then goes node by node
        expected, _ = run(slow, clip, taps=[first])
        del expected[first]
        for name, tiers in tier_sets().items():
            say(f"  words: {bits} bits, {name}")
            found, _ = run(compile_graph(graph, tiers=tiers), clip)
            checks.append(compare(f"{bits} bits, tiers {name}, {frames} frames", found, expected))
        start = clip[: 1 if size.quick else ORACLE_FRAMES]
        say(f"  words: {bits} bits, the definition")
        every = evaluate(graph, start)
        defined = {name: every[name].astype(np.int64) for name in graph.outputs}
        found, _ = run(compile_graph(graph), start)
        checks.append(compare(f"{bits} bits, `fxp.oracle`, frames: {len(start)}", found, defined))
    return timings.section(checks)


def tier_sets() -> dict[str, frozenset[Tier]]:
    """What products may use: everything there is here, and each kind alone."""
    here = machine_tiers()
    alone = [t for t in Tier if t in here and t is not Tier.GENERIC]
    return {"all": here, **{t.value: frozenset({t, Tier.GENERIC}) for t in alone}}


def widths(size: Size) -> Section:
    """Every width, torch in its fastest forms, and the peaks of the multipliers, by turns."""
    timings = Timings()
    net = published()
    graphs = {bits: lowered(net, bits) for bits in WIDTHS}
    macs = conv_macs(graphs[8])
    plans = {bits: compile_graph(graph) for bits, graph in graphs.items()}
    rounds = PEAK_ROUNDS // 100 if size.quick else PEAK_ROUNDS
    peak: dict[str, Work] = {name: partial(kernel, rounds) for name, kernel in peaks().items()}
    found = best_forms(net, compiled=not size.quick)
    for group, wanted in ((SHORT, FRAMES), (LONG, LONG_FRAMES)):
        frames = size.frames(wanted)
        clips = {bits: noise(graph, frames) for bits, graph in graphs.items()}
        work: dict[str, Work] = {
            f"{bits} bits": partial(run, plans[bits], clips[bits]) for bits in WIDTHS
        }
        floats = on_a_clip(net, found, frames)
        timings.by_turns(
            group,
            {**work, **floats, **peak},
            size.repeats if group == SHORT else min(size.repeats, 9),
            frames=dict.fromkeys((*work, *floats), frames),
            macs=dict.fromkeys((*work, *floats), macs)
            | {name: rounds * SUMS * MACS[name] for name in peaks()},
            warm=group == LONG,
        )
    return timings.section()


def best_forms(net: FloatNet, *, compiled: bool = False) -> dict[str, Form]:
    """The best float forms on one thread, by the names of rows."""
    found = forms(net.arch, net.params)
    named = {MKL: found["eager, MKL"], ONEDNN: found["eager, oneDNN"]}
    return {**named, COMPILED: found["compiled"]} if compiled else named


def on_a_clip(net: FloatNet, found: Mapping[str, Form], frames: int) -> dict[str, Work]:
    """Calls that go through a random clip."""
    x = torch.randn(frames, net.arch.in_channels, net.params["input_norm.scale"].shape[1])
    return {name: partial(form, x) for name, form in found.items()}
