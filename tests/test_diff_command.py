"""`python -m fxp diff`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from fxp.golden import write_bundle
from fxp.qformat import Rounding
from fxp.store import save_graph
from tests.planted import computed, folder, network, recast
from tests.test_fxp_cli import Command, command

__all__ = ["command"]  # the fixture


def test_bundle_folder_of_hex_and_model_are_equal(tmp_path: Path, command: Command) -> None:
    graph, clip = network()
    save_graph(graph, tmp_path / "net.fxp")
    bundle = tmp_path / "bundle"
    write_bundle(graph, clip, bundle, lanes=2)
    plain = tmp_path / "plain"
    (plain / "values").mkdir(parents=True)
    for file in (bundle / "values").iterdir():
        shutil.copy(file, plain / "values")
    for pair in ((bundle, plain), (plain, bundle), (tmp_path / "net.fxp", bundle)):
        assert command("diff", *pair) == 0
        words = sum(value.size for value in computed(graph, clip).values())
        assert command.out == f"equal: {words} words of 20 of 20 nodes\n"
    assert command("diff", tmp_path / "net.fxp", plain, "--lanes", "2") == 0
    assert "hex digits" in command.refused("diff", tmp_path / "net.fxp", plain)


def test_two_models(tmp_path: Path, command: Command) -> None:
    graph, clip = network()
    save_graph(graph, tmp_path / "a.fxp")
    save_graph(recast(graph, "embedding.q", rounding=Rounding.TRN), tmp_path / "b.fxp")
    np.save(tmp_path / "clip.npy", clip)
    sides = (tmp_path / "a.fxp", tmp_path / "b.fxp", "--data", tmp_path / "clip.npy")
    assert command("diff", *sides) == 1
    lines = command.out.splitlines()
    assert lines[0].startswith("first difference: embedding.q (Requantise), frame ")
    assert any(line == "cause rounding: B: rounds TRN, not RND" for line in lines)
    assert command("diff", *sides, "--json") == 1
    assert json.loads(command.out)["first"]["explanation"]["cause"] == "rounding"
    assert command("diff", sides[0], sides[0], *sides[2:]) == 0


def test_bad_input_is_one_line(tmp_path: Path, command: Command) -> None:
    graph, clip = network()
    model = tmp_path / "a.fxp"
    save_graph(graph, model)
    values = computed(graph, clip)
    short = folder(tmp_path / "short", {**values, "pool": values["pool"][:-1]})
    assert "value `pool` must be of shape (24, 3, 1)" in command.refused("diff", model, short)
    foreign = folder(tmp_path / "foreign", {"nothing": clip})
    assert "`nothing` is no node of graph" in command.refused("diff", model, foreign)
    plain = folder(tmp_path / "plain", {"pool": values["pool"]})
    assert "give a clip (--data)" in command.refused("diff", model, plain)
    assert "one of them must tell the network" in command.refused("diff", plain, plain)
    (tmp_path / "empty").mkdir()
    assert "no .npy and no .hex file" in command.refused("diff", model, tmp_path / "empty")
    np.save(plain / "pool.npy", values["pool"].astype(np.float64))
    assert "integers of at most 64 bits" in command.refused("diff", model, plain)
    assert "no such file" in command.refused("diff", model, tmp_path / "gone.fxp")


def test_a_damaged_bundle_is_refused(tmp_path: Path, command: Command) -> None:
    graph, clip = network()
    bundle = tmp_path / "bundle"
    write_bundle(graph, clip, bundle)
    file = bundle / "values" / "pool.hex"
    file.write_bytes(file.read_bytes()[::-1])
    assert "pool.hex: the file was altered" in command.refused("diff", bundle, bundle)
