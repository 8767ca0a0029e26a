"""Every line of every port is the word of the node, frame, joint and channel that it says."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from fxp.ir import IntArray
from fxp.simulate import compile_graph, run
from hw_model.rtl.bench_log import Difference
from hw_model.rtl.expected import Lines
from hw_model.rtl.locate import first_of, locate
from hw_model.rtl.runs import PlannedRun, Settings, plan_runs
from tests.rtl_cases import CASES, network


@cache
def planned(name: str) -> tuple[PlannedRun, Mapping[str, IntArray]]:
    """The main run of a case, and all values of its network `(T, C, V)`."""
    graph, clip, lanes = network(name)
    main, _ = plan_runs(graph, clip, Settings(lanes, stress=False)).runs  # and clips in a row
    names = [node.name for node in graph.nodes]
    return main, run(compile_graph(graph), clip, taps=names)[0]


def complaint(port: str, lines: Lines, at: int, words: IntArray, address: int) -> Difference:
    """As the bench says it, of one line with other words or at another address."""

    def text(found: IntArray, where: int) -> str:
        line = sum(
            (int(word) & ((1 << lines.bits) - 1)) << (lane * lines.bits)
            for lane, word in enumerate(found)
        )
        return f"{where:08x} {line:0{lines.line_bits // 4}x}"

    wanted = text(lines.words[at], int(lines.address[at]))
    return Difference(port, at, text(words, address), wanted, "")


@pytest.mark.parametrize("name", CASES)
def test_each_word_of_each_line_is_that_of_its_place(name: str) -> None:
    main, values = planned(name)
    seen = set()
    for port, lines in main.bench.ports.items():
        for at in range(0, len(lines.words), 3):
            for lane, word in enumerate(lines.words[at].tolist()):
                other = lines.words[at].copy()
                other[lane] ^= 1
                place = complaint(port, lines, at, other, int(lines.address[at]))
                found = locate(main, place)
                assert found is not None and found.lane == lane
                assert (found.expected, found.found) == (word, int(other[lane]))
                assert found.found_address == found.address
                if found.channel is None:  # a pad lane
                    assert word == 0
                    continue
                assert values[found.node][found.frame, found.channel, found.joint] == word
                seen.add((found.node, found.frame, found.channel, found.joint))
    last = values[main.graph.outputs[0]]
    assert {entry[0] for entry in seen} >= {main.graph.outputs[0]}
    assert all(entry[1] < len(values[entry[0]]) for entry in seen) and len(last) > 0


def test_an_x_and_a_wrong_address_are_said() -> None:
    main, _ = planned("dilated")
    lines = main.bench.ports["fifo"]
    moved = complaint("fifo", lines, 5, lines.words[5], int(lines.address[5]) + 2)
    found = locate(main, moved)
    assert found is not None and found.found == found.expected
    text = f"the engine's line is at {lines.address[5] + 2}, must be at {lines.address[5]}; "
    assert text in str(found) and "the engine has" not in str(found)
    assert moved.found is not None
    unknown = Difference("fifo", 5, moved.found[:-2] + "xx", moved.wanted, "")
    found = locate(main, unknown)
    assert found is not None and found.found is None and "the engine has x, must" in str(found)
    nowhere = Difference("fifo", 5, "xxxxxxxx " + moved.found[9:], moved.wanted, "")
    assert (where := locate(main, nowhere)) is not None and where.found_address is None


def test_text_names_the_pass_and_all_of_the_place() -> None:
    main, values = planned("dilated")
    lines = main.bench.ports["totals"]
    other = lines.words[0].copy()
    other[0] ^= 1
    found = locate(main, complaint("totals", lines, 0, other, int(lines.address[0])))
    passed = int(lines.made[0])
    nodes = " ".join(main.design.ground.passes[passed].nodes)
    assert str(found) == (
        f"pass {passed} ({nodes}): node block0.sum, frame 0, joint 0, channel 0: the engine has "
        f"{other[0]}, must have {values['block0.sum'][0, 0, 0]} (totals.hex line 1)"
    )


def test_the_first_difference_is_the_one_that_is_made_first() -> None:
    main, _ = planned("ragged")
    made = []
    for port, lines in main.bench.ports.items():
        at = len(lines.words) // 2
        other = lines.words[at] ^ 1
        made.append(complaint(port, lines, at, other, int(lines.address[at])))
    count = Difference("outputs", None, None, None, "has 3 lines")
    late = Difference("cycles", 0, "1", "2", "")
    first = first_of(main, (count, late, *made))
    assert first is not None

    def when(difference: Difference) -> tuple[int, int]:
        lines = main.bench.ports[difference.port]
        assert difference.line is not None
        return int(lines.frame[difference.line]), int(lines.made[difference.line])

    assert when(first) == min(map(when, made))
    assert first_of(main, (count, late)) is None
    assert locate(main, count) is None and locate(main, late) is None


@pytest.mark.parametrize("name", CASES)
def test_what_a_memory_holds_in_the_end_is_the_last_that_was_written(name: str) -> None:
    main, _ = planned(name)
    ports = main.bench.ports
    place = main.design.ground.places[main.graph.nodes[0].name]
    for port in [port for port in ports if f"{port}.end" in ports]:
        held: dict[int, tuple[int, ...]] = {}
        lines, end = ports[port], ports[f"{port}.end"]
        for address, words in zip(lines.address.tolist(), lines.words.tolist(), strict=True):
            held[address] = tuple(words)
        found = dict(zip(end.address.tolist(), map(tuple, end.words.tolist()), strict=True))
        assert len(found) == len(end.address) and held.keys() <= found.keys()
        loaded = {at for at in found if end.made[np.flatnonzero(end.address == at)[0]] < 0}
        if port == f"values{place.memory}":
            region = range(place.base, place.base + place.lines * place.slots)
            assert loaded <= set(region)
        else:
            assert not loaded and found == held
        assert all(found[at] == words for at, words in held.items() if at not in loaded)
