"""Accumulators that wrap: the rule against every cast at small widths, and whole networks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.cast import requantise
from fxp.diff import compare
from fxp.errors import GraphError
from fxp.golden import write_bundle
from fxp.interop.c_source import export_c
from fxp.interop.runners import COMPILERS, run_c
from fxp.interop.sv_params import sv_package
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Graph,
    Input,
    IntArray,
    Requantise,
    TemporalSum,
    Weights,
    operands,
)
from fxp.memories import ground_of, held, settings_for
from fxp.oracle import _evaluate_node, evaluate
from fxp.profile import profile
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import analyse, certify, is_sum
from fxp.sides import read_pair
from fxp.simulate import compile_graph, run
from fxp.store import load_graph, save_graph
from fxp.validate import describe
from fxp.verify import verify_bundle
from fxp.wrapping import needed_bits, surviving_bits, wrapped_word
from tests.strategies import OVERFLOWS, ROUNDINGS, random_clip, random_graph

REACH = 300  # accumulators of the exhaustive tests: all words of 9 bits, and beyond
SHIFTS, WIDTHS, KEPT = range(-2, 5), range(1, 5), range(1, 9)


def words(raw: list) -> IntArray:
    return np.array(raw, np.int64)


# ---------------------------------------------------------------------------- the rule of a cast


def results(cast: Cast, relu: bool) -> dict[int, int]:
    return {raw: requantise(raw, 0, cast, relu) for raw in range(-REACH, REACH + 1)}


def harmless(found: dict[int, int], bits: int) -> bool:
    """Whether wrapping to so many bits first gives equal words everywhere."""
    return all(word == found[wrapped_word(raw, bits)] for raw, word in found.items())


def test_a_wrapped_word_is_the_register() -> None:
    for bits in range(1, 9):
        for raw in range(-REACH, REACH + 1):
            word = wrapped_word(raw, bits)
            assert -(2 ** (bits - 1)) <= word < 2 ** (bits - 1) and (word - raw) % 2**bits == 0


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_wrapping_is_harmless_exactly_where_the_rule_says(rounding: Rounding, signed: bool) -> None:
    """Equal words everywhere if so many bits survive, and with one fewer a counterexample."""
    for word_bits, shift in product(WIDTHS, SHIFTS):
        cast = Cast(QFormat(word_bits, -shift, signed), rounding, Overflow.WRAP)
        enough = surviving_bits(cast, shift)
        found = results(cast, relu=False)
        for bits in KEPT:
            expected = enough is not None and bits >= enough
            assert harmless(found, bits) == expected, (cast, shift, bits)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_relu_behind_a_wrap_changes_nothing(rounding: Rounding) -> None:
    """It sees the kept bits alone. (A signed bit with a ReLU is always zero: there nothing matters,
    and the rule asks for more than it needs.)"""
    for word_bits, shift, signed in product(WIDTHS, SHIFTS, (True, False)):
        cast = Cast(QFormat(word_bits, -shift, signed), rounding, Overflow.WRAP)
        enough, found = surviving_bits(cast, shift), results(cast, relu=True)
        for bits in KEPT:
            expected = enough is not None and bits >= enough
            if word_bits == 1 and signed:
                assert set(found.values()) == {0}
            else:
                assert harmless(found, bits) == expected, (cast, shift, bits)


@pytest.mark.parametrize("mode", [mode for mode in OVERFLOWS if mode is not Overflow.WRAP])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_no_width_is_enough_for_a_cast_that_saturates(rounding: Rounding, mode: Overflow) -> None:
    for word_bits, shift in product(range(2, 5), SHIFTS):
        cast = Cast(QFormat(word_bits, -shift), rounding, mode)
        assert surviving_bits(cast, shift) is None
        found = results(cast, relu=False)
        if set(found.values()) == {0}:  # SAT_ZERO of words shifted out of any range
            assert mode is Overflow.SAT_ZERO and shift <= -word_bits
            continue
        assert not any(harmless(found, bits) for bits in KEPT), (cast, shift)


# ---------------------------------------------------------------------------- sums


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=12),
    st.integers(1, 30),
    st.randoms(use_true_random=False),
)
def test_any_order_of_a_wrapping_sum_gives_the_sum_modulo_its_width(
    terms: list[int], bits: int, random: object
) -> None:
    shuffled = list(terms)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    total = 0
    for term in shuffled:
        total = wrapped_word(total + term, bits)
    assert total == wrapped_word(sum(terms), bits)
    if -(2 ** (bits - 1)) <= sum(terms) < 2 ** (bits - 1):
        assert total == sum(terms)


@given(
    st.lists(st.integers(-128, 127), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 12),
)
def test_a_running_sum_that_wraps_does_not_drift(
    frames: list[int], window: int, dilation: int, bits: int
) -> None:
    """`acc += new - old` in so many bits, one accumulator per phase, against the window's sum."""
    nodes = (Input("x", 1, 1, QFormat(8, 0)), TemporalSum("y", "x", window, dilation))
    exact = evaluate(Graph("g", nodes, ("y",)), words(frames)[:, None, None])["y"].ravel().tolist()
    total = [0] * dilation
    for t, new in enumerate(frames):
        old = frames[t - window * dilation] if t >= window * dilation else 0
        total[t % dilation] = wrapped_word(total[t % dilation] + new - old, bits)
        assert total[t % dilation] == wrapped_word(exact[t], bits)


# ---------------------------------------------------------------------------- networks


def whole_bits(graph: Graph) -> dict[str, int]:
    return {name: signal.width_bits for name, signal in analyse(graph).items()}


def wrapping(cast: Cast) -> Graph:
    """Conv (9 bits), running sum of a stored word (7 bits), affine (8 bits), add (10 bits)."""
    nodes = (
        Input("x", 2, 1, QFormat(4, 0)),
        Conv("c", "x", Weights(words([[9, -9], [7, 3]]), 5, (0,)), words([3, -2])),
        Requantise("q", "c", cast),
        TemporalSum("s", "q", 5),
        Affine("a", "s", Weights(words([[3], [-2]]), 3, (0,)), words([[5], [1]])),
        Requantise("r", "a", cast, relu=True),
        Add("d", "a", "c"),
        Requantise("o", "d", cast),
        Argmax("l", "o"),
    )
    return Graph("wrapping", nodes, ("r", "o", "l"), accumulator_bits=5)


CAST = Cast(QFormat(4, -1), Rounding.RND, Overflow.WRAP)


def test_certify_accepts_what_wraps_harmlessly_and_refuses_one_bit_less() -> None:
    graph = wrapping(CAST)  # words of 4 bits behind a shift of 1
    assert needed_bits(graph, whole_bits(graph)) == {
        **dict.fromkeys(("c", "s", "a", "d"), 5),
        **{"x": 4, "q": 4, "r": 4, "o": 4, "l": 2},
    }
    assert {name: certify(graph)[name] for name in ("c", "s", "a", "d")} == dict.fromkeys("csad", 5)
    with pytest.raises(GraphError) as caught:
        certify(replace(graph, accumulator_bits=4))
    assert str(caught.value) == (
        "node `c`: the accumulator needs 5 bits in the worst case, `accumulator_bits` is 4"
    )


def test_what_fits_keeps_its_own_width() -> None:
    graph = replace(wrapping(CAST), accumulator_bits=8)
    whole = whole_bits(graph)
    assert certify(graph) == whole | {"c": 8, "d": 8, "a": 8} and whole["s"] == 7


def test_one_reader_that_looks_at_the_number_is_enough_to_refuse() -> None:
    for other in (
        Cast(QFormat(4, -1), Rounding.TRN_ZERO, Overflow.WRAP),
        Cast(QFormat(4, -1), Rounding.RND_INF, Overflow.WRAP),
        Cast(QFormat(4, -1), Rounding.RND, Overflow.SAT),
    ):
        graph = wrapping(CAST)
        more = (*graph.nodes[:-1], Requantise("p", "c", other), Argmax("l", "o"))
        whole = whole_bits(graph)
        with pytest.raises(GraphError, match=f"^node `c`: the accumulator needs {whole['c']} bits"):
            certify(replace(graph, nodes=more))


def test_outputs_and_divisions_need_the_whole_number() -> None:
    graph = wrapping(CAST)
    whole = whole_bits(graph)
    shown = replace(graph, outputs=(*graph.outputs, "a"))
    assert needed_bits(shown, whole)["a"] == whole["a"]
    mean = (*graph.nodes, ClipMean("m", "s", 3, 100), Requantise("n", "m", CAST))
    found = needed_bits(Graph("g", mean, ("o",)), whole | {"m": 20, "n": 4})
    assert found["s"] == whole["s"] and found["m"] == 7  # 4 bits, shift 2 + 1
    assert needed_bits(graph, whole)["s"] < whole["s"]


def test_sums_beyond_64_bits_are_refused_even_so() -> None:
    raw = np.full((1, 40), -(2**31), np.int64)
    nodes = (
        Input("x", 40, 1, QFormat(32, 0)),
        Conv("c", "x", Weights(raw, 32, (0,)), words([0])),
        Requantise("q", "c", CAST),
    )
    with pytest.raises(GraphError, match=r"needs 69 bits .* simulators hold at most 63$"):
        certify(Graph("g", nodes, ("q",), accumulator_bits=20))


def as_registers(graph: Graph, clip: IntArray) -> dict[str, IntArray]:
    """Every node from the registers that it reads, each sum cut to its certified width.

    A node at a time: what a register holds is handed on as the words of a wider input.
    """
    ground = ground_of(graph, settings_for(graph, frames=1))
    found: dict[str, IntArray] = {graph.nodes[0].name: clip}
    for node in graph.nodes[1:]:
        own = {x: found[x] for x in operands(node)}
        y = evaluate_alone(graph, node.name, own)
        found[node.name] = held(ground, node.name, y)
    return found


def evaluate_alone(graph: Graph, name: str, given: dict[str, IntArray]) -> IntArray:
    about = describe(graph)
    node = next(node for node in graph.nodes if node.name == name)
    x = [given[operand].tolist() for operand in operands(node)]
    return np.array(_evaluate_node(node, x, [about[o] for o in operands(node)]), dtype=object)


def wrapping_cast(cast: Cast, rng: np.random.Generator) -> Cast:
    """It wraps, and mostly rounds in a way that looks at discarded bits alone."""
    kinds = (Rounding.TRN, Rounding.RND, Rounding.RND_MIN_INF, Rounding.RND_CONV)
    rounding = kinds[int(rng.integers(4))] if rng.random() < 0.9 else cast.rounding
    return replace(cast, rounding=rounding, overflow=Overflow.WRAP)


def wrapped_version(graph: Graph, rng: np.random.Generator) -> Graph | None:
    """All casts wrap, stored words are the outputs, the width is the least; None: nothing wraps."""
    nodes = tuple(
        replace(node, cast=wrapping_cast(node.cast, rng)) if isinstance(node, Requantise) else node
        for node in graph.nodes
    )
    outputs = tuple(node.name for node in nodes if isinstance(node, Requantise | Argmax))
    if not outputs:
        return None
    made = replace(graph, nodes=nodes, outputs=outputs, accumulator_bits=63)
    whole = whole_bits(made)
    needed = needed_bits(made, whole)
    sums = [node.name for node in nodes if is_sum(node)]
    if not sums:
        return None
    least = max(needed[name] for name in sums)
    bits = int(rng.integers(least, least + 3))
    if all(whole[name] <= bits for name in sums) or max(whole[name] for name in sums) > 63:
        return None
    return replace(made, accumulator_bits=min(bits, 63))


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_registers_of_the_certified_width_give_every_stored_word(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = wrapped_version(random_graph(rng), rng)
    if graph is None:
        return
    clip = random_clip(rng, graph, 6)
    exact, registers = evaluate(graph, clip), as_registers(graph, clip)
    simulated, _ = run(compile_graph(graph), clip)
    for name in graph.outputs:
        assert (registers[name] == exact[name]).all(), name
        assert (simulated[name] == exact[name]).all(), name


def test_random_networks_do_wrap() -> None:
    """So that the test above is one."""
    found = (np.random.default_rng(seed) for seed in range(40))
    assert sum(wrapped_version(random_graph(rng), rng) is not None for rng in found) >= 10


# ---------------------------------------------------------------------------- who relies on widths


def extreme_clip() -> IntArray:
    return random_clip(np.random.default_rng(0), wrapping(CAST), 40)


def test_golden_words_are_those_of_the_registers(tmp_path: Path) -> None:
    graph, clip = wrapping(CAST), extreme_clip()
    manifest = write_bundle(graph, clip, tmp_path / "bundle", snapshots=[0, 7, 39])
    assert verify_bundle(tmp_path / "bundle", oracle=True).mismatches == ()
    by_name = {stage["node"]["name"]: stage["value"] for stage in manifest["stages"]}
    exact = evaluate(graph, clip)
    for name in "csad":
        assert by_name[name]["word_bits"] == by_name[name]["accumulator_bits"] == 5
        assert np.abs(exact[name]).max() > 16  # it does wrap
        text = (tmp_path / "bundle" / "values" / f"{name}.hex").read_text().split()
        in_order = exact[name].transpose(0, 2, 1).ravel().tolist()  # (frame, joint, channel)
        assert [int(digits, 16) for digits in text] == [word % 32 for word in in_order]
    assert by_name["a"]["bound"] == [min(analyse(graph)["a"].lo), max(analyse(graph)["a"].hi)]


def test_a_package_declares_the_certified_width() -> None:
    text = sv_package(wrapping(CAST))
    widths = [line.split("=")[1] for line in text.splitlines() if "_WORD_BITS = " in line]
    assert widths.count(" 5;") >= 4 and " 9;" not in widths


def test_the_simulator_and_files_keep_sums_whole(tmp_path: Path) -> None:
    graph, clip = wrapping(CAST), extreme_clip()
    save_graph(graph, tmp_path / "net.fxp")
    taps = [node.name for node in graph.nodes]
    found, _ = run(compile_graph(load_graph(tmp_path / "net.fxp")), clip, taps=taps)
    exact = evaluate(graph, clip)
    assert all(np.array_equal(found[name], exact[name]) for name in taps)


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C compiler on PATH")
def test_so_does_c(tmp_path: Path) -> None:
    graph, clip = wrapping(CAST), extreme_clip()
    export_c(graph, tmp_path / "c")
    found, exact = run_c(tmp_path / "c", graph, clip, ["-O0"]), evaluate(graph, clip)
    assert all(np.array_equal(found[name], exact[name]) for name in exact)


def test_a_bundle_is_equal_to_its_model_and_a_wrong_word_is_found(tmp_path: Path) -> None:
    graph, clip = wrapping(CAST), extreme_clip()
    save_graph(graph, tmp_path / "net.fxp")
    bundle = tmp_path / "bundle"
    write_bundle(graph, clip, bundle)
    result = compare(read_pair(tmp_path / "net.fxp", bundle))
    assert result.first is None and len(result.counts) == len(graph.nodes)
    shutil.copytree(bundle / "values", tmp_path / "words")
    file = tmp_path / "words" / "d.hex"
    file.write_text("0f\n" + file.read_text().split("\n", 1)[1])
    first = compare(read_pair(bundle, tmp_path / "words")).first
    assert first is not None and (first.node, first.word_bits, first.b) == ("d", 5, 15)


def test_a_profile_of_sums_that_wrap() -> None:
    found = profile(wrapping(CAST), [extreme_clip()], None, "random")
    assert found.frames == 40
