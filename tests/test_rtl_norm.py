"""Layer norms, softmaxes, means over clips on the RTL engine: every word and every cycle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fxp.ir import (
    Add,
    ClipMean,
    Conv,
    Graph,
    Input,
    IntArray,
    LayerNorm,
    Requantise,
    Softmax,
    TemporalConv,
    Weights,
)
from fxp.node_tables import exp_tables, layer_norm_epsilon, reciprocal_root_seeds
from fxp.oracle import evaluate
from fxp.qformat import Cast, QFormat
from hw_model.cost import estimate
from hw_model.rtl.bench_files import bench_files
from hw_model.rtl.design import design_of
from hw_model.rtl.simulators import build, run, sources
from tests.accelerators import machine
from tests.golden.networks import CASES
from tests.networks import VARIANTS
from tests.rtl_cases import need
from tests.strategies import random_clip
from tests.test_fused import lowered


@pytest.fixture(autouse=True)
def icarus() -> None:
    """Skipped where it is missing, unless it must be there."""
    need("icarus")


def check(graph: Graph, clip: IntArray, lanes: int, folder: Path) -> None:
    """Every word written and every cycle, with stalls and without; and the estimate's cycles."""
    design = design_of(graph, lanes)
    bench = bench_files(design, clip, evaluate(graph, clip), seed=lanes)
    for name, text in bench.files.items():
        (folder / name).write_bytes(text)
    built = build("icarus", sources(), folder, cache=folder / "built")
    for stall in (False, True):
        found = run(built, folder, stall=stall)
        assert found.passed, found
    cost = estimate(graph, machine(lanes))
    assert all(layer.basis == "rtl" for layer in cost.layers)
    passes = design.passes
    whole = any(planned.get("is_clip_mean") for planned in passes)  # runs as a whole at the end
    plain = all(planned["period_mask"] == planned["pass_lag"] == 0 for planned in passes)
    if plain and (len(clip) == 1 or not whole):
        assert bench.cycles == len(clip) * cost.interval_cycles


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
def test_two_norms_of_different_width(lanes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(lanes)
    graph = CASES["normed"].build(rng)
    check(graph, random_clip(rng, graph, 6), lanes, tmp_path)


@pytest.mark.parametrize(
    "variant, lanes", [("rtstgcn-layernorm", 4), ("rtstgcn-layernorm-residuals", 3)]
)
def test_networks_with_layer_norms(variant: str, lanes: int, tmp_path: Path) -> None:
    graph = lowered(VARIANTS[variant], 8, 8)
    check(graph, random_clip(np.random.default_rng(1), graph, 2), lanes, tmp_path)


def spread(fmt: QFormat, channels: int, joints: int) -> IntArray:
    """Frames of every variance from none to the largest: (T, C, V)."""
    rng = np.random.default_rng(7)
    low, high, words = fmt.raw_min, fmt.raw_max, channels * joints
    frames = [np.full(words, level) for level in (0, low, high, 1)]  # all words are equal
    for exponent in range(fmt.word_bits):
        step = min((1 << exponent), high - low)
        one = np.full(words, low)
        one[rng.integers(words)] += step  # one word differs
        frames += [one, high - (one - low)]
        frames.append(rng.integers(low // 2, low // 2 + step + 1, words))  # all differ
    half = np.where(np.arange(words) % 2, low, high)
    return np.stack([*frames, half, np.sort(half)]).reshape(-1, channels, joints)


@pytest.mark.parametrize(
    "bits, shape, lanes, entries, steps, frac_bits, epsilon",
    [
        (8, (3, 4), 2, 48, 2, 18, 0),
        (16, (5, 3), 4, 48, 2, 12, 1),
        (12, (4, 1), 3, 3 << 8, 0, 18, 0),
        (10, (1, 7), 2, 192, 1, 0, 0),
        (6, (2, 2), 1, 12, 4, 15, 3),
        (22, (3, 3), 8, 48, 3, 10, (1 << 52) - 5),  # the epsilon alone
        (20, (1, 1), 1, 48, 2, 14, 0),  # a norm of one word: zero
    ],
)
def test_every_variance(
    bits: int,
    shape: tuple[int, int],
    lanes: int,
    entries: int,
    steps: int,
    frac_bits: int,
    epsilon: int,
    tmp_path: Path,
) -> None:
    fmt = QFormat(bits, 4)
    seeds = reciprocal_root_seeds(entries)
    nodes = (
        Input("input", *shape, fmt),
        LayerNorm("norm", "input", np.array([epsilon]), seeds, steps, frac_bits),
    )
    check(Graph("g", nodes, ("norm",)), spread(fmt, *shape), lanes, tmp_path)


def test_norms_of_different_tables_share_the_unit(tmp_path: Path) -> None:
    """One after another: seeds, steps, epsilons, shapes differ; unsigned words."""
    fmt = QFormat(9, 3, signed=False)
    first = LayerNorm("a", "input", layer_norm_epsilon(1e-5, 15, 3), reciprocal_root_seeds(), 2, 11)
    nodes = (
        Input("input", 5, 3, fmt),
        first,
        Requantise("a.q", "a", Cast(QFormat(6, 3))),
        replace(first, name="b", x="a.q", seeds=reciprocal_root_seeds(96), newton_steps=1),
        Requantise("b.q", "b", Cast(QFormat(14, 9))),
        replace(first, name="c", x="b.q", epsilon=np.array([1 << 20]), frac_bits=18),
    )
    graph = Graph("g", nodes, ("a.q", "c"))
    check(graph, random_clip(np.random.default_rng(3), graph, 5), 2, tmp_path)
    # the third norm's table is the first one's
    assert len(design_of(graph, 2).memories["seeds"][1]) == 48 + 96


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
def test_two_softmaxes_of_different_tables(lanes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(lanes)
    graph = CASES["shares"].build(rng)
    check(graph, random_clip(rng, graph, 7), lanes, tmp_path)


@pytest.mark.parametrize("variant, lanes", [("msgcn", 4), ("msgcn-alone", 3)])
def test_networks_with_softmaxes(variant: str, lanes: int, tmp_path: Path) -> None:
    """Lookahead, and frames behind the clip's end."""
    graph = lowered(VARIANTS[variant], 8, 8)
    check(graph, random_clip(np.random.default_rng(1), graph, 4), lanes, tmp_path)


def contests(fmt: QFormat, channels: int, joints: int) -> IntArray:
    """Frames of ties, of one winner, of small and of large distances: (T, C, V)."""
    rng = np.random.default_rng(8)
    low, high = fmt.raw_min, fmt.raw_max
    shape = (channels, joints)
    frames = [np.full(shape, level) for level in (low, high)]
    for exponent in range(fmt.word_bits):
        step = min((1 << exponent), high - low)
        one = np.full(shape, low)
        one[rng.integers(channels, size=joints), np.arange(joints)] += step
        frames += [one, rng.integers(high - step, high + 1, shape)]
    return np.stack([*frames, *rng.integers(low, high + 1, (4, *shape))])


@pytest.mark.parametrize(
    "fmt, shape, lanes, exp_bits, share_bits",
    [
        (QFormat(8, 4), (5, 3), 2, 16, 15),
        (QFormat(8, 3, signed=False), (7, 4), 4, 12, 0),
        (QFormat(16, 11), (3, 2), 1, 16, 30),
        (QFormat(12, 6), (12, 1), 8, 24, 8),
        (QFormat(5, 0), (1, 5), 3, 1, 5),  # a channel alone: always 1
        (QFormat(10, 8), (9, 6), 3, 8, 1),
        (QFormat(6, -2), (2, 2), 2, 10, 12),
    ],
)
def test_every_distance(
    fmt: QFormat,
    shape: tuple[int, int],
    lanes: int,
    exp_bits: int,
    share_bits: int,
    tmp_path: Path,
) -> None:
    coarse, fine = exp_tables(fmt, exp_bits)
    share = Softmax("share", "input", coarse, fine, exp_bits, share_bits)
    graph = Graph("g", (Input("input", *shape, fmt), share), ("share",))
    check(graph, contests(fmt, *shape), lanes, tmp_path)


def test_softmaxes_and_norms_share_the_engine(tmp_path: Path) -> None:
    """Quotients of 6 and of 20 bits; a table that does not fall; one that is longer than words."""
    rng = np.random.default_rng(9)
    fmt = QFormat(6, 2)
    steep, fine = exp_tables(fmt, 9)
    flat = np.concatenate([[1 << 9], rng.integers(0, (1 << 9) + 1, 200)])
    first = Softmax("a", "input", steep, fine, 9, 20)
    nodes = (
        Input("input", 5, 3, fmt),
        first,
        Requantise("a.q", "a", Cast(QFormat(9, 8))),
        LayerNorm("b", "a.q", layer_norm_epsilon(1e-5, 15, 8), reciprocal_root_seeds(), 2, 11),
        Requantise("b.q", "b", Cast(fmt)),
        replace(first, name="c", x="b.q", coarse=flat, frac_bits=6),
        Requantise("c.q", "c", Cast(QFormat(7, 6, signed=False))),
        replace(first, name="d", x="c.q", coarse=flat[:90], fine=np.array([512, 9, 0, 511])),
    )
    graph = Graph("g", nodes, ("d", "a.q"))
    check(graph, random_clip(rng, graph, 5), 4, tmp_path)


@pytest.mark.parametrize("lanes, frames", [(1, 1), (2, 2), (3, 5), (8, 12)])
def test_means_of_clips_behind_a_stride(lanes: int, frames: int, tmp_path: Path) -> None:
    """Even and odd numbers of frames: the last one has one of the mean's operand or not."""
    rng = np.random.default_rng(lanes)
    graph = CASES["clip"].build(rng)
    check(graph, random_clip(rng, graph, frames), lanes, tmp_path)


def test_network_with_a_mean_over_clips(tmp_path: Path) -> None:
    graph = lowered(VARIANTS["stgcn-one"], 8, 8)
    check(graph, random_clip(np.random.default_rng(2), graph, 5), 8, tmp_path)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("bits, shape, lanes, shift", [(8, (5, 2), 3, 4), (12, (2, 3), 1, 0)])
def test_mean_alone(
    bits: int, shape: tuple[int, int], lanes: int, shift: int, frames: int, tmp_path: Path
) -> None:
    """Largest and least words and halves, whose rounding shows."""
    fmt = QFormat(bits, 3)
    nodes = (Input("input", *shape, fmt), ClipMean("mean", "input", shift, 7))
    clip = np.random.default_rng(frames).integers(-2, 3, (frames, *shape))
    clip[:, 0], clip[:, -1, 0] = fmt.raw_min, fmt.raw_max
    check(Graph("g", nodes, ("mean",)), clip, lanes, tmp_path)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_means_that_wait_for_a_lookahead(frames: int, tmp_path: Path) -> None:
    """Two means of unequal lookahead, both read in the last frame of the flush."""
    rng = np.random.default_rng(11)
    cast = Cast(QFormat(8, 3))

    def taps(*shape: int) -> Weights:
        return Weights(rng.integers(-128, 128, shape), 8, (6,))

    nodes = (
        Input("input", 3, 2, QFormat(8, 3)),
        TemporalConv("t", "input", taps(3, 3, 5), rng.integers(-99, 99, 3), 1, 3),
        Requantise("t.q", "t", cast),
        ClipMean("late", "t.q", 2, 9),
        Requantise("late.q", "late", cast),
        ClipMean("early", "input", 5, 5),
        Requantise("early.q", "early", cast),
        Add("sum", "late.q", "early.q"),
        Requantise("sum.q", "sum", cast),
        Conv("c", "early.q", taps(4, 3), rng.integers(-99, 99, 4)),
    )
    graph = Graph("g", nodes, ("sum.q", "c", "t"))
    check(graph, random_clip(rng, graph, frames), 2, tmp_path)
