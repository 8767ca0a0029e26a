"""`stress`: bundles that verify, and what is refused with nothing written."""

import json
from pathlib import Path

import numpy as np
import pytest

from fxp.accumulators import accumulators
from fxp.bundle import open_bundle, read_value
from fxp.golden import bundle_files
from fxp.ir import Add, Affine, ClipMean, Conv, Graph, Input, Requantise, Weights
from fxp.qformat import Cast, Overflow, QFormat
from fxp.store import save_graph
from fxp.stress_bundles import LIST, write_stress
from fxp.verify import verify_bundle
from fxp.wrapping import wrapped_word
from tests.golden.networks import CASES, make
from tests.test_fxp_cli import Command, command

__all__ = ["command"]
GRAPH, _ = make(CASES["ragged"])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.fxp"
    save_graph(GRAPH, path)
    return path


def test_every_bundle_is_right_and_reaches_what_is_certified(
    tmp_path: Path, net: Path, command: Command
) -> None:
    out = tmp_path / "stress"
    assert command("stress", net, "--out", out, "--lanes", 2) == 0
    listed = json.loads((out / LIST).read_text())
    certified = {each.node: (each.lo, each.hi, each.kind) for each in accumulators(GRAPH)}
    classes = next(len(node.bias) for node in GRAPH.nodes if node.name == "classifier")
    certified["label"] = (0, classes - 1, "Argmax")
    assert [case["node"] for case in listed["cases"]] == list(certified)
    assert listed["without"] == {}
    for case in listed["cases"]:
        bundle = out / case["bundle"]
        assert verify_bundle(bundle, oracle=True).mismatches == ()
        ground, _ = open_bundle(bundle)
        words, expected = read_value(bundle, ground, case["node"]), certified[case["node"]]
        ends = (case["lowest"], case["highest"])
        assert (words.min(), words.max()) == ends == expected[:2]
        assert ground.settings.lanes == 2
        assert ground.settings.snapshots == (case["frames"] - 1,)
        assert case["kind"] == expected[2]
    names = [line.split()[0] for line in command.out.splitlines()[1:-1]]
    assert names == list(certified)
    assert command.out.splitlines()[-1].startswith(f"{out}: {len(names)} bundles, graph ")
    assert {entry["file"] for entry in listed["files"]} | {LIST} == set(bundle_files(out))


def test_one_node_and_again(tmp_path: Path, net: Path, command: Command) -> None:
    out = tmp_path / "stress"
    assert command("stress", net, "--out", out) == 0
    assert command("stress", net, "--out", out, "--node", "pool") == 0
    assert sorted(path.name for path in out.iterdir()) == ["pool", LIST]
    (out / "mine.txt").write_text("kept")
    assert command.refused("stress", net, "--out", out) == (
        f"{out}: mine.txt is no file of a folder of stress bundles, hence not replaced"
    )
    assert (out / "pool" / "manifest.json").is_file()


def test_two_cases_of_a_node_and_names_that_differ_in_case(tmp_path: Path) -> None:
    x = Input("x", 1, 1, QFormat(4, 0))
    mean = Graph("g", (x, ClipMean("Y", "x", 0, 3), ClipMean("y", "x", 0, 2)), ("Y", "y"))
    listed = write_stress(mean, tmp_path / "out")
    assert [case["bundle"] for case in listed["cases"]] == ["Y", "Y.2", "y.3", "y.4"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"Y", "Y.2", "y.3", "y.4", LIST}


def test_a_register_that_may_wrap_is_as_narrow_as_in_the_network(tmp_path: Path) -> None:
    conv = Conv("c", "x", Weights(np.array([[99, -77]]), 8, (0,)), np.array([5]))
    wraps = Requantise("q", "c", Cast(QFormat(8, -4), overflow=Overflow.WRAP))
    graph = Graph("g", (Input("x", 2, 1, QFormat(8, 0)), conv, wraps), ("q",), 12)
    (case,) = write_stress(graph, tmp_path / "out")["cases"]
    assert (case["lowest"], case["highest"]) == (-22446, 22434)
    assert verify_bundle(tmp_path / "out/c", oracle=True).mismatches == ()
    ground, _ = open_bundle(tmp_path / "out/c")
    assert ground.widths["c"] == 12
    words = read_value(tmp_path / "out/c", ground, "c")
    assert wrapped_word(22434, 12) in words
    assert wrapped_word(-22446, 12) in words


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--node", "nothing"], "'nothing' is no accumulator of graph `ragged`"),
        (["--node", "input"], "'input' is no accumulator of graph `ragged`"),
        (["--lanes", "0"], "`lanes` must be 1..1024, got 0"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, net: Path, command: Command, flags: list[str], line: str
) -> None:
    assert command.refused("stress", net, "--out", tmp_path / "out", *flags) == line
    assert [path.name for path in tmp_path.iterdir()] == ["net.fxp"]


def test_a_node_without_a_case_says_why(tmp_path: Path, command: Command) -> None:
    scale = Weights(np.array([[1 << 10]]), 12, (0,))
    wide = Affine("a", "x", scale, np.array([[0]]))
    graph = Graph("g", (Input("x", 1, 1, QFormat(30, 0)), wide, Add("y", "a", "a")), ("y",))
    save_graph(graph, tmp_path / "net.fxp")
    reason = "operand `a` spans 40 bits, an input at most 32"
    out = tmp_path / "out"
    assert command.refused("stress", tmp_path / "net.fxp", "--out", out, "--node", "y") == (
        f"node `y` has no stress case: {reason}"
    )
    assert not out.exists()
    assert command("stress", tmp_path / "net.fxp", "--out", out) == 0
    assert f"y: no case: {reason}\n" in command.out
