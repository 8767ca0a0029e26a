"""The comparison with peers on one layer: what the words must be, who is accepted, what is timed.

Peers that are not installed here (extra `peers`) are skipped.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peers_forms import PEERS, Peer
from benchmarks.peers_layer import (
    SHIFT,
    Candidate,
    Layer,
    accumulators,
    is_tie,
    random_layer,
    reference,
    toolkit,
    toolkit_graph,
)
from benchmarks.peers_measure import FEWEST, Row, absence, by_turns, find, judge, measure
from fxp.console import run
from fxp.errors import InputError
from fxp.ranges import certify


def every_remainder() -> Layer:
    """Sums of every value in -16,384..16,256, and with a bias beyond both ends of a word."""
    first, second = np.meshgrid(*2 * [np.arange(-128, 128, dtype=np.int8)], indexing="ij")
    return Layer(
        words=np.stack([first, second], axis=2),
        weight=np.array(3 * [[127, 1]], dtype=np.int8),
        bias=np.array([-60_000, 0, 60_000], dtype=np.int32),
    )


EVERY = every_remainder()
ROW = Row(
    peer="some", version="1.2", times_s=(0.004, 0.002, 0.003), toolkit_s=(0.001,), identical=True
)


def candidate(words: Any, **settings: Any) -> Candidate:
    return Candidate(lambda: words, lambda y: y, "0", **settings)


def test_the_reference_rounds_and_saturates_as_fractions_do() -> None:
    sums = accumulators(EVERY)
    assert set(range(-16_384, 16_257)) == set(sums[:, 1].tolist())
    up, even = reference(EVERY), reference(EVERY, "even")
    for value, word, to_even in zip(sums.flat, up.flat, even.flat, strict=True):
        exact = Fraction(int(value), 2**SHIFT)
        assert word == max(-128, min(127, floor(exact + Fraction(1, 2))))
        assert to_even == max(-128, min(127, round(exact)))


def test_the_timed_layer_saturates_at_both_ends_and_meets_ties() -> None:
    layer = random_layer()
    assert layer.words.shape == (64, 25, 64) and layer.weight.shape == (192, 64)
    words, sums = reference(layer), accumulators(layer)
    beyond = np.abs(sums) > 128 << SHIFT
    assert 0.1 < beyond.mean() < 0.2
    assert {-128, 127} <= set(words[beyond].tolist())
    assert is_tie(layer).sum() > 500
    assert (words != reference(layer, "even")).sum() > 200
    certify(toolkit_graph(layer))  # 32-bit accumulators hold it, whatever the input


@pytest.mark.parametrize("layer", [EVERY, random_layer(3, 5, 7, 4)], ids=["every", "small"])
def test_the_simulator_is_accepted(layer: Layer) -> None:
    assert judge(toolkit(layer), layer) == (True, "")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_gives_every_word_of_the_reference(peer: Peer) -> None:
    if missing := absence(peer):
        pytest.skip(missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tools that use what is deprecated
        assert judge(peer.prepare(EVERY), EVERY) == (True, "")


def test_other_words_are_refused_unless_their_rule_is_stated() -> None:
    up, even = reference(EVERY), reference(EVERY, "even")
    assert judge(candidate(up), EVERY) == (True, "")
    off_by_one = up.copy()
    off_by_one[5, 1] += 1
    accepted, note = judge(candidate(off_by_one), EVERY)
    assert not accepted
    assert note == "wrong: 1 of 196,608 words by ties up"
    assert not judge(candidate(even), EVERY)[0]
    assert not judge(candidate(up, ties="even"), EVERY)[0]
    assert judge(candidate(up.T), EVERY) == (
        False,
        "wrong: shape (3, 65536) instead of (65536, 3)",
    )


def test_a_peer_that_rounds_ties_to_even_is_told_which_words_differ() -> None:
    even = reference(EVERY, "even")
    accepted, note = judge(candidate(even, ties="even"), EVERY)
    differing = int((even != reference(EVERY)).sum())
    assert accepted and differing > 0
    assert note == f"ties to even: {differing:,} of 196,608 words, all ties, differ by 1"


def test_a_row_says_whether_words_are_those_of_the_reference() -> None:
    for ties, identical in (("up", True), ("even", False)):
        words = candidate(reference(EVERY, ties), ties=ties)  # type: ignore[arg-type]
        row = measure(Peer("x", (), lambda _, made=words: made), EVERY, 3, 0)
        assert len(row.times_s) == len(row.toolkit_s) == 3
        assert row.identical is identical and bool(row.note) is not identical


def test_a_half_is_not_rounded_away_by_the_judge() -> None:
    close = reference(EVERY).astype(np.float64)
    close[0, 0] += 1e-9
    assert not judge(candidate(close), EVERY)[0]


def recorder(name: str, calls: list[str], seconds: float) -> Candidate:
    def call() -> None:
        calls.append(name)
        time.sleep(seconds)

    return Candidate(call, lambda y: y, "0")


def test_slow_calls_alternate_and_stop_when_their_time_is_over() -> None:
    calls: list[str] = []
    slow, own = (recorder(name, calls, 0.006) for name in ("slow", "own"))
    times, own_times, threads = by_turns(slow, own, 5, seconds=60)
    assert len(times) == len(own_times) == 5
    assert calls[4:] == 5 * ["slow", "own"]  # behind two calls of each to see how long they take
    assert min(times) >= 0.006
    assert threads < 0.5  # it slept
    times, _, _ = by_turns(slow, own, 5, seconds=0)
    assert len(times) == FEWEST


def test_fast_calls_fill_a_block_and_are_timed_each() -> None:
    calls: list[str] = []
    fast, own = (recorder(name, calls, 0.0005) for name in ("fast", "own"))
    times, _, _ = by_turns(fast, own, 3, seconds=60)
    assert len(calls) > 12
    assert 0.0005 <= min(times) < 0.005


def test_an_absent_peer_is_a_row_with_one_sentence() -> None:
    def never(_: Layer) -> Candidate:
        raise AssertionError

    row = measure(Peer("x", ("numpy", "no_such_package"), never), EVERY, 3, 0)
    assert row == Row(
        peer="x", absent=True, note="not installed: needs the package `no_such_package`"
    )
    row = measure(Peer("x", (), never, ("no-such-program",)), EVERY, 3, 0)
    assert row.note == "not installed: needs the program `no-such-program`"


def test_a_peer_with_wrong_words_gets_no_time() -> None:
    wrong = candidate(reference(EVERY) + 1)
    row = measure(Peer("x", (), lambda _: wrong), EVERY, 3, 0)
    assert not row.times_s and not row.absent and not row.identical
    assert row.note.startswith("wrong: ")


def test_a_measurement_starts_with_one_thread_and_a_blas_of_its_own_choice() -> None:
    before = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512", "HOME": "/h"}
    after = peers.quiet_environment({**before, "OMP_NUM_THREADS": "8", "PYTHONPATH": "/p"})
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(after)
    assert after["HOME"] == "/h"
    assert {after[f"{x}_NUM_THREADS"] for x in ("OMP", "OPENBLAS", "MKL")} == {"1"}
    assert after["PYTHONPATH"].endswith("/p")


def test_the_table_gives_medians_and_the_ratio_of_the_same_run() -> None:
    heading, line, absent = peers.table([ROW, Row(peer="gone", absent=True, note="not installed")])
    assert heading.split() == " ".join(peers.HEADINGS).split()
    assert line.split() == ["some", "1.2", "3.000", "2.000..4.000", "1.000", "3.00", "2.00", "yes"]
    assert absent == "gone: not installed"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"threads": 1.0}, None),
        ({"threads": 1.9}, "some: kept 1.9 threads busy"),
        ({"threads": 0.4}, "the machine was busy with other work during: some"),
        ({"threads": 1.0, "identical": False, "note": "ties to even"}, "some: ties to even"),
    ],
)
def test_remarks_tell_what_the_table_does_not(changes: dict[str, Any], line: str | None) -> None:
    assert peers.remarks([ROW.model_copy(update=changes)]) == ([] if line is None else [line])


def test_the_first_environment_that_has_a_peer_is_taken() -> None:
    gone, asked = Row(peer="some", absent=True, note="not installed"), []

    def answer(_name: str, path: Path, *_: object) -> Row:
        asked.append(path.name)
        return ROW if path.name == "b" else gone

    with patch.object(peers, "in_child", answer):
        row = peers.first_installed("some", [Path("a"), Path("b"), Path("c")], 3, 0)
        assert row == ROW and asked == ["a", "b"]
        assert peers.first_installed("some", [Path("a"), Path("c")], 3, 0) == gone


def test_a_peer_that_breaks_is_a_row_with_its_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'ImportError: no luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    row = peers.in_child("qonnx", broken, 3, 0)
    assert row == Row(peer="qonnx", note="failed: ImportError: no luck")


def call(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["peers", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        run(peers.app)
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


def test_the_command_measures_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    code, out, _ = call("--peer", "numpy float64 BLAS", "--repeats", "3", "--json", str(path))
    assert code == 0
    assert out.splitlines()[1].startswith("numpy float64 BLAS")
    (row,) = peers.read_results(path).rows
    assert row.identical and len(row.times_s) == len(row.toolkit_s) == 3
    assert row.version == np.__version__


def test_a_failure_is_an_exit_code_and_an_absence_is_none() -> None:
    def answering(row: Row) -> Callable[..., Row]:
        return lambda *_: row

    absent = Row(peer="qonnx", absent=True, note="not installed")
    for row, expected in ((absent, 0), (Row(peer="qonnx", note="failed: x"), 1)):
        with patch.object(peers, "in_child", answering(row)):
            code, out, _ = call("--peer", "qonnx")
        assert code == expected
        assert f"qonnx: {row.note}" in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--peer", "nobody"], "error: peer `nobody`: must be one of numpy int64 einsum, "),
        (["--python", "/no/python"], "error: --python /no/python: no such file"),
        (["--json", "/no/folder/x.json"], "error: /no/folder/x.json: cannot be written"),
        (["--repeats", "2"], "error: Invalid value for '--repeats'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], line: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(line)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for content in ("", "{}", '{"processor": "p", "rows": [{"name": "x"}]}'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"rows.json: not a file of this command's rows"):
            peers.read_results(path)
    path.write_text(peers.Results(processor="p", rows=(ROW,)).model_dump_json())
    assert peers.read_results(path).rows == (ROW,)


def test_names_are_distinct_and_found() -> None:
    assert [find(peer.name) for peer in PEERS] == list(PEERS)
