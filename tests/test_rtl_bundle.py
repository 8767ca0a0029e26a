"""The `rtl` folder of a bundle: what is in it, and that all runs are for one hardware."""

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fxp.bundle import attachment_of
from fxp.errors import InputError
from fxp.ir import Conv, GraphProduct, Input, Requantise, timings
from fxp.manifest import Attachment
from fxp.simulate import compile_graph, run
from fxp.stress import stress_plan
from fxp.verify import verify_bundle
from hw_model.rtl.bench_files import SUMS, checksum, hex_words
from hw_model.rtl.bundle import FOLDER, HDL, rtl_attachment, settings_of
from hw_model.rtl.prediction import predicted_cycles
from hw_model.rtl.runs import (
    CLIPS,
    MAIN,
    Runs,
    Settings,
    _single_outputs,
    _with_partitions,
    plan_runs,
)
from hw_model.rtl.toolchains import BENCH_FILES, ENGINE_FILES
from tests.golden import networks
from tests.rtl_cases import CASES, network, write_case


@cache
def attachment(name: str) -> Attachment:
    graph, clip, lanes = network(name)
    return rtl_attachment(graph, clip, Settings(lanes))


@cache
def runs_of(name: str) -> Runs:
    graph, clip, lanes = network(name)
    return plan_runs(graph, clip, Settings(lanes))


def test_the_folder_is_verified_with_the_bundle(tmp_path: Path) -> None:
    bundle = write_case("narrow", tmp_path, stress=False)
    assert verify_bundle(bundle).mismatches == ()
    about = attachment_of(bundle, FOLDER)
    assert settings_of(about) == Settings(1, seed=3, stress=False)
    assert [entry["name"] for entry in about["runs"]] == [MAIN, CLIPS]
    graph, clip, _ = network("narrow")
    again = rtl_attachment(graph, clip, settings_of(about))
    assert {n: (bundle / FOLDER / n).read_bytes() for n in again.files} == dict(again.files)
    (bundle / FOLDER / HDL / "ram.sv").write_text("module ram; endmodule\n")
    with pytest.raises(InputError, match=r"rtl/hdl/ram\.sv: the file was altered"):
        verify_bundle(bundle)


def test_sources_kit_and_memories_are_there() -> None:
    files = attachment("dilated").files
    named = {f"{HDL}/{name}" for name in (*ENGINE_FILES, *BENCH_FILES, "engine_axis.sv")}
    generated = ("engine_params.svh", "pass_fields.svh", "in_fields.svh", "bench_ports.svh")
    named |= {f"{HDL}/{name}" for name in generated}
    assert named | {"Makefile", "README.md", "test_engine.py"} <= files.keys()
    for name in ("Makefile", "README.md", "test_engine.py"):
        text = files[name].decode()
        assert "@ENGINE@" not in text and "@BENCH@" not in text and "@FLAGS@" not in text
    assert b" ".join(name.encode() for name in ENGINE_FILES) in files["Makefile"]


@pytest.mark.parametrize("name", ["dilated", "narrow", "strided"])
def test_every_hex_memory_is_as_its_entry_says(name: str) -> None:
    given = attachment(name)
    memories = {file for file in given.files if file.endswith(".hex")}
    assert memories == given.entries.keys()
    for file, entry in given.entries.items():
        lines = given.files[file].decode().splitlines()
        assert len(lines) == entry["words"]
        assert entry["digits"] == entry["address_digits"] + -(-entry["bits"] // 4)
        assert {len(line) for line in lines} <= {entry["digits"]}
        assert not lines or entry["address_digits"] in (0, 8)
        assert entry["checksum"] == f"{slow_checksum(lines):08x}"
        folder, _, stem = file.rpartition("/")
        sums = given.files[f"{folder}/{SUMS}"].decode().splitlines()
        assert f"{stem} {entry['words']} {entry['checksum']}" in sums
    listed = {entry["file"]: entry for entry in given.listed()}
    for file, text in given.files.items():
        assert listed[f"rtl/{file}"]["sha256"] == hashlib.sha256(text).hexdigest()


def slow_checksum(lines: list[str]) -> int:
    """As checked_file.sv folds: rotate left, exclusive or, 32 bits at a time from the lowest."""
    total = 0
    for line in lines:
        word = int(line, 16)
        for _ in range(-(-len(line) // 8)):
            total = ((total << 1) & 0xFFFFFFFF | total >> 31) ^ (word & 0xFFFFFFFF)
            word >>= 32
    return total


@pytest.mark.parametrize("bits", [1, 4, 31, 32, 33, 100])
def test_the_checksum_sees_every_bit_and_the_order(bits: int) -> None:
    words = [5 % (1 << bits), 0, (1 << bits) - 1, 1]
    right = checksum(hex_words(words, bits))
    assert right == slow_checksum(hex_words(words, bits).decode().split())
    for at in range(len(words)):
        for bit in range(bits):
            other = [word ^ ((i == at) << bit) for i, word in enumerate(words)]
            assert checksum(hex_words(other, bits)) != right
    assert checksum(hex_words(words[::-1], bits)) != right
    assert checksum(b"") == 0


@pytest.mark.parametrize("name", CASES)
def test_the_estimate_is_the_longest_frame(name: str) -> None:
    graph, _, lanes = network(name)
    main = runs_of(name).runs[0]
    frames = [frame.ends - frame.begins for frame in main.bench.timing]
    predicted = predicted_cycles(graph, lanes, dense=False)
    terms = sum(cycles for layer in predicted["terms"].values() for cycles in layer.values())
    if all(t.lookahead == 0 and t.period == 1 for t in timings(graph).values()):
        assert set(frames) == {predicted["interval"]}
    assert max(frames) <= predicted["interval"] == terms == predicted["latency"] - 2


@pytest.mark.parametrize("name", CASES)
def test_all_runs_are_for_the_same_hardware(name: str) -> None:
    planned = runs_of(name)
    main = planned.runs[0].design
    assert planned.runs[0].name == MAIN and len({r.name for r in planned.runs}) > 3
    assert len({run.name for run in planned.runs}) == len(planned.runs)
    assert planned.without == {}
    for other in planned.runs[1:]:
        assert other.design.parameters == main.parameters
        assert other.design.values == main.values and other.design.fields == main.fields


def test_every_accumulator_is_stressed_to_both_ends() -> None:
    graph, _, _ = network("dilated")
    cases = {case.node for case in stress_plan(graph).cases}
    stressed = {run.about["node"]: run for run in runs_of("dilated").runs if run.about}
    assert stressed.keys() == cases >= {"block0.conv", "block0.graph", "block0.sum", "classifier"}
    for node, planned in stressed.items():
        assert planned.about["purposes"].keys() >= {"highest", "lowest"}
        assert planned.about["lowest"] < planned.about["highest"], node


def test_stress_clips_that_the_engine_needs_otherwise_compute_the_same() -> None:
    graph, _, _ = network("dilated")
    for case in stress_plan(graph).cases:
        wanted, _ = run(compile_graph(case.graph), case.clip)
        changed = _with_partitions(case.graph)
        products = sum(isinstance(node, GraphProduct) for node in changed.nodes)
        assert len(changed.nodes) == len(case.graph.nodes) + 2 * products
        singles = list(_single_outputs(changed))
        assert [single.outputs for single in singles] == [(name,) for name in case.graph.outputs]
        for single in singles:
            (name,) = single.outputs
            found, _ = run(compile_graph(single), case.clip)
            np.testing.assert_array_equal(found[name], wanted[name])
            casts = [node for node in single.nodes if isinstance(node, Requantise)]
            assert len([cast for cast in casts if cast.x == case.node]) <= 1
            assert any(isinstance(node, Conv) for node in single.nodes) or not products


def test_what_the_engine_cannot_do_is_refused_with_its_node() -> None:
    both = ("embedding.q", "embedding.stream")
    graph = dataclasses.replace(networks.dilated(np.random.default_rng(1)), outputs=both)
    first = graph.nodes[0]
    assert isinstance(first, Input)
    words = np.zeros((2, first.channels, first.joints), np.int64)
    with pytest.raises(InputError, match=r"embedding\.stream: a second output of one pass"):
        rtl_attachment(graph, words, Settings(2))


def test_the_readme_of_the_kit_names_what_is_there() -> None:
    given = attachment("dilated")
    text = given.files["README.md"].decode()
    for name in ("Makefile", "README.md"):
        assert name in {*given.files}
    for name in ("program.hex", "outside.hex", "source.hex", "cycles.hex", "stalls.hex", SUMS):
        assert f"`{name}`" in text and f"runs/main/{name}" in given.files
    assert json.dumps(given.about)  # JSON data, as the manifest needs it
