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
from fxp.ir import Argmax, Conv, GraphProduct, Input, Requantise, TemporalConv, timings
from fxp.manifest import Attachment
from fxp.simulate import compile_graph, run
from fxp.stress import stress_plan
from fxp.verify import verify_bundle
from hw_model.rtl.bench_files import SUMS, checksum, hex_words
from hw_model.rtl.bundle import FOLDER, HDL, rtl_attachment, settings_of
from hw_model.rtl.design import assemble, design_of, designs_of, include_files
from hw_model.rtl.prediction import predicted_cycles
from hw_model.rtl.runs import CLIPS, MAIN, Runs, Settings, plan_runs
from hw_model.rtl.stress_programs import single_outputs, with_partitions
from hw_model.rtl.toolchains import BENCH_FILES, ENGINE_FILES
from hw_model.streaming import LineSource
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
    named |= {f"{place}/{name}" for place in ("own", "shared") for name in generated}
    assert named | {"Makefile", "README.md", "test_engine.py"} <= files.keys()
    for name in ("Makefile", "README.md", "test_engine.py"):
        text = files[name].decode()
        assert "@ENGINE@" not in text and "@BENCH@" not in text and "@FLAGS@" not in text
    assert b" ".join(name.encode() for name in ENGINE_FILES) in files["Makefile"]
    runs = attachment("dilated").about["runs"]
    shared = " ".join(run["name"] for run in runs if run["hardware"] == "shared")
    assert f"SHARED := {shared}\n".encode() in files["Makefile"] and shared


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
    predicted = predicted_cycles(graph, Settings(lanes))
    terms = sum(cycles for layer in predicted["terms"].values() for cycles in layer.values())
    if all(t.lookahead == 0 and t.period == 1 for t in timings(graph).values()):
        assert set(frames) == {predicted["interval"]}
    assert max(frames) <= predicted["interval"] == terms == predicted["latency"] - 2


@pytest.mark.parametrize("name", CASES)
def test_each_run_is_for_the_own_hardware_if_it_fits_there_else_for_the_shared(name: str) -> None:
    graph, _, lanes = network(name)
    planned = runs_of(name)
    assert [run.name for run in planned.runs[:2]] == [MAIN, CLIPS]
    assert len({run.name for run in planned.runs}) == len(planned.runs) > 3
    assert planned.without == {}
    assert planned.hardware.keys() == {"own", "shared"}
    includes = {place: include_files(design) for place, design in planned.hardware.items()}
    network_alone = design_of(graph, lanes)
    assert includes["own"] == include_files(network_alone) != includes["shared"]
    main = assemble(graph, lanes)
    for each in planned.runs:
        assert include_files(each.design) == includes[each.hardware]
        if each.about:
            both, _ = designs_of([main, assemble(each.graph, lanes, digits=main.digits)])
            assert (include_files(both) == includes["own"]) == (each.hardware == "own"), each.name
    assert any(each.about for each in planned.runs if each.hardware == "own")


def test_without_stress_clips_the_network_s_hardware_is_the_same_and_alone() -> None:
    graph, clip, lanes = network("dilated")
    bare = rtl_attachment(graph, clip, Settings(lanes, stress=False))
    assert bare.about["hardware"] == {"own": attachment("dilated").about["hardware"]["own"]}
    assert not [name for name in bare.files if name.startswith(("shared/", "runs/stress"))]
    assert b"SHARED := \n" in bare.files["Makefile"]
    same = [name for name in bare.files if name != "Makefile"]
    assert {n: bare.files[n] for n in same} == {n: attachment("dilated").files[n] for n in same}


@pytest.mark.parametrize("name", CASES)
def test_the_manifest_says_what_the_shared_hardware_has_more_of(name: str) -> None:
    own, shared = (attachment(name).about["hardware"][place] for place in ("own", "shared"))
    sides = []
    for hardware in (own, shared):
        memories = hardware["value_memories"]
        more = {"VALUE_WIDTHS": [m["word_bits"] for m in memories]}
        more["VALUE_LINES"] = [m["lines"] for m in memories]
        sides.append({**hardware["parameters"], **more})
    differing = {key: [sides[0][key], sides[1][key]] for key in sides[0]}
    assert shared["more"] == {k: [a, b] for k, (a, b) in differing.items() if a != b} != {}
    # registers of sums are as wide as the network has them: that is what stress clips are for
    assert not {"ACC_BITS", "TOTAL_BITS", "FIFO_BITS"} & shared["more"].keys()


@pytest.mark.parametrize("name", CASES)
def test_the_sum_s_stage_is_wider_for_the_words_of_an_argmax_alone(name: str) -> None:
    """They only go through that stage: no sum over time needs it wider than the network's own."""
    graph, _, lanes = network(name)
    main = assemble(graph, lanes)
    own = design_of(graph, lanes).parameters["SUM_BITS"]
    kinds = {node.name: type(node) for node in graph.nodes}
    stressed = [run for run in runs_of(name).runs if run.about]
    for each in stressed:
        both, _ = designs_of([main, assemble(each.graph, lanes, digits=main.digits)])
        wider = both.parameters["SUM_BITS"] > own
        assert not wider or kinds[each.about["node"]] is Argmax, each.name
    assert len(stressed) > 3


@pytest.mark.parametrize(
    ("name", "some", "source"),
    [
        ("dilated", slice(None), LineSource(1, 1)),
        ("ragged", slice(1, None), LineSource(4, 7)),
        ("vector", slice(None), LineSource(3, 2)),
        ("small", slice(None, None, 2), LineSource(30, 1)),
    ],
)
def test_weights_off_the_chip_and_the_cycles_they_are_waited_for(
    name: str, some: slice, source: LineSource
) -> None:
    graph, clip, lanes = network(name)
    convolutions = [n.name for n in graph.nodes if isinstance(n, Conv | TemporalConv)]
    settings = Settings(lanes, off_chip=tuple(convolutions[some]), source=source)
    given = rtl_attachment(graph, clip, settings)
    about = json.loads(json.dumps(given.about))
    assert settings_of(about) == settings
    predicted = about["predicted_cycles"]
    assert max(about["runs"][0]["frame_cycles"]) == predicted["interval"]
    assert predicted["latency"] == predicted["interval"] + 2
    terms = sum(cycles for layer in predicted["terms"].values() for cycles in layer.values())
    assert terms == predicted["interval"]
    near = predicted_cycles(graph, Settings(lanes))
    waits = sum(layer.get("wait", 0) for layer in predicted["terms"].values())
    assert near["interval"] + waits == predicted["interval"] and waits > 0
    assert given.files["runs/main/source.hex"].split() == [
        f"{cycles:08x}".encode() for cycles in (source.latency, source.interval)
    ]
    lines = {e: given.entries[f"runs/main/{e}.hex"]["words"] for e in ("weights", "outside")}
    alone = attachment(name).entries["runs/main/weights.hex"]["words"]
    assert lines["weights"] + lines["outside"] == alone  # scales of norms stay, or a convolution
    stressed = {run["stress"]["node"]: run for run in about["runs"] if "stress" in run}
    for node in settings.off_chip:
        streams = given.entries[f"{stressed[node]['folder']}/outside.hex"]["words"]
        assert streams > 1, node


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
        changed = with_partitions(case.graph)
        products = sum(isinstance(node, GraphProduct) for node in changed.nodes)
        assert len(changed.nodes) == len(case.graph.nodes) + 2 * products
        singles = list(single_outputs(changed))
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
