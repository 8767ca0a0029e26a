"""Bundles run as they are: every word and cycle in simulators, and what stops the bench."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fxp.errors import InputError
from hw_model.rtl import simulators
from hw_model.rtl.bench_files import checksum
from hw_model.rtl.bundle import FOLDER, HDL
from hw_model.rtl.check import Options, check_bundle
from hw_model.rtl.simulators import Built, build, run, sources
from hw_model.rtl.toolchains import Simulator
from tests.rtl_cases import need, write_case

COMPILED: tuple[Simulator, ...] = ("icarus", "verilator")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl-builds")


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Bundles, each written once; behind a name, `off` is for weights off the chip."""
    folder, known = tmp_path_factory.mktemp("bundles"), dict[str, Path]()

    def bundle(name: str) -> Path:
        if name not in known:
            case, _, off = name.partition(" ")
            (folder / off).mkdir(exist_ok=True)
            known[name] = write_case(case, folder / off, off_chip=off == "off")
        return known[name]

    return bundle


@pytest.mark.parametrize(
    ("simulator", "name", "stress"),
    [
        *(("icarus", name, True) for name in ("dilated", "ragged", "small", "ragged off")),
        ("icarus", "strided", True),  # its input is a ring of frames
        ("icarus", "vector", True),
        ("verilator", "dilated", True),
        ("verilator", "ragged off", False),
        ("verilator", "small", False),
    ],
)
def test_every_word_and_cycle_is_equal(
    simulator: Simulator,
    name: str,
    stress: bool,
    bundle_of: Callable[[str], Path],
    cache: Path,
) -> None:
    need(simulator)
    options = Options(stall=True, stress=stress, cache=cache)
    said: list[str] = []
    report = check_bundle(bundle_of(name), simulator, options, said.append)
    assert said[0] == f"{simulator}: building the own hardware"
    assert [line for line in said if "running" in line] == [
        f"{simulator}: running {run.name}{', stalled' if run.stalled else ''}"
        for run in report.runs
    ]
    assert [checked for checked in report.runs if not checked.equal] == []
    assert report.equal and len(report.runs) >= 2 * (4 if stress else 2)
    places = {checked.name: checked.hardware for checked in report.runs}
    assert places["main"] == places["clips"] == "own"
    assert ("shared" in places.values()) == bool(report.shared_more) == stress
    for plain, stalled in zip(report.runs[::2], report.runs[1::2], strict=True):
        assert (plain.stalled, stalled.stalled) == (False, True)
        assert plain.cycles == plain.expected_cycles <= stalled.cycles
        ahead = name.startswith(("ragged", "strided", "vector"))
        assert plain.latency == plain.cycles + 2 or ahead


def test_cxxrtl_agrees(bundle_of: Callable[[str], Path], cache: Path) -> None:
    need("cxxrtl")
    options = Options(stall=True, cache=cache)
    ours = check_bundle(bundle_of("narrow off"), "cxxrtl", options)
    icarus = check_bundle(bundle_of("narrow off"), "icarus", options)
    assert ours.equal and icarus.equal and len(ours.runs) == 4
    assert [run.cycles for run in ours.runs] == [run.cycles for run in icarus.runs]


def built_and_run(
    bundle: Path, simulator: Simulator, cache: Path, folder: Path
) -> tuple[Built, Path]:
    """The bench of a bundle, and a copy of its main run to spoil."""
    need(simulator)
    root = bundle / FOLDER
    shutil.copytree(root / "runs" / "main", folder / "run")
    return build(simulator, sources(root / HDL), root / "own", cache=cache), folder / "run"


def shorten(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def alter(path: Path) -> None:
    text = path.read_bytes()
    path.write_bytes((b"1" if text[:1] == b"0" else b"0") + text[1:])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize("file", ["weights.hex", "outputs.hex", "totals.end.hex", "stalls.hex"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "file is missing"),
        (shorten, "words, "),
        (lengthen, "words, "),
        (alter, "was altered: checksum "),
    ],
)
@pytest.mark.parametrize("simulator", COMPILED)
def test_the_bench_stops_at_a_damaged_file(
    simulator: Simulator,
    spoil: Callable[[Path], None],
    message: str,
    file: str,
    bundle_of: Callable[[str], Path],
    cache: Path,
    tmp_path: Path,
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), simulator, cache, tmp_path)
    assert run(bench, folder).passed
    spoil(folder / file)
    result = run(bench, folder)
    assert not result.passed and result.stopped is not None
    assert result.stopped.startswith(f"{file}: ") and message in result.stopped


def test_the_bench_stops_without_sums(
    bundle_of: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), "icarus", cache, tmp_path)
    sums = (folder / "sums.txt").read_text()
    (folder / "sums.txt").write_text(sums.replace("edges.hex", "sedge.hex"))
    assert run(bench, folder).stopped == "sums.txt: edges.hex is not in it"
    (folder / "sums.txt").unlink()
    assert "sums.txt: file is missing" in (run(bench, folder).stopped or "")


def agree(folder: Path, file: str) -> None:
    """Make `sums.txt` agree with a file that was altered on purpose."""
    text = (folder / file).read_bytes()
    kept = [
        entry
        for entry in (folder / "sums.txt").read_text().splitlines()
        if entry.split()[0] != file
    ]
    entry = f"{file} {text.count(10)} {checksum(text):08x}"
    (folder / "sums.txt").write_text("\n".join([*kept, entry]) + "\n")


@pytest.mark.parametrize("port", ["outputs", "values0", "values1.end", "fifo", "totals.end"])
@pytest.mark.parametrize("simulator", COMPILED)
def test_a_wrong_expectation_is_a_difference_of_its_line(
    simulator: Simulator,
    port: str,
    bundle_of: Callable[[str], Path],
    cache: Path,
    tmp_path: Path,
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), simulator, cache, tmp_path)
    path = folder / f"{port}.hex"
    lines = path.read_text().splitlines()
    lines[3] = lines[3][:-1] + format(int(lines[3][-1], 16) ^ 1, "x")
    path.write_text("\n".join(lines) + "\n")
    agree(folder, path.name)
    result = run(bench, folder)
    assert not result.passed and result.stopped is None
    (difference,) = result.differences
    assert (difference.port, difference.line) == (port, 3)
    assert difference.wanted == f"{lines[3][:8]} {lines[3][8:]}" != difference.found


def test_a_missing_line_and_a_late_frame_are_differences(
    bundle_of: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), "icarus", cache, tmp_path)
    shorten(folder / "fifo.hex")
    agree(folder, "fifo.hex")
    ends = (folder / "cycles.hex").read_text().splitlines()
    ends[1] = f"{int(ends[1], 16) - 1:08x}"
    (folder / "cycles.hex").write_text("\n".join(ends) + "\n")
    agree(folder, "cycles.hex")
    result = run(bench, folder)
    assert [(d.port, d.line) for d in result.differences[:1]] == [("cycles", 1)]
    extra, count = result.differences[1:]
    assert (extra.port, extra.line, extra.wanted) == ("fifo", len(extra_lines(folder)), None)
    assert (count.port, count.line) == ("fifo", None)
    assert not run(bench, folder, stall=True).passed  # cycles are not compared, lines are


def extra_lines(folder: Path) -> list[str]:
    return (folder / "fifo.hex").read_text().splitlines()


PLANTED = {
    "a sign": (
        "post_lane.sv",
        "TOTAL_BITS'(newest) - leaving",
        "TOTAL_BITS'(newest) + leaving",
        "block0.sum",
    ),
    "an address": (
        "engine.sv",
        "fifo_base + fifo_off + F_ADDR_BITS'(line6)",
        "fifo_base + fifo_off + F_ADDR_BITS'(line6) + 1'b1",
        "block0.graph.q",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_where_it_is(
    bug: str,
    bundle_of: Callable[[str], Path],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need("icarus")
    file, right, wrong, node = PLANTED[bug]
    text = (bundle_of("dilated") / FOLDER / HDL / file).read_text()
    assert text.count(right) == 1
    (tmp_path / file).write_text(text.replace(right, wrong))
    monkeypatch.chdir(tmp_path)
    report = check_bundle(bundle_of("dilated"), "icarus", Options(hdl=tmp_path, cache=cache))
    main = next(each for each in report.runs if each.name == "main")
    assert not report.equal and main.found is not None
    assert main.found.node == node and main.complaints
    assert (main.found.found_address != main.found.address) == (bug == "an address")
    assert main.waves == str(tmp_path / "dilated-main.vcd")
    assert "$enddefinitions" in Path(main.waves).read_text()


def test_a_write_beside_those_that_are_wanted_is_seen_in_the_end(
    bundle_of: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), "icarus", cache, tmp_path)
    assert run(bench, folder).passed
    hdl = bundle_of("dilated") / FOLDER / HDL
    text = (hdl / "ram.sv").read_text()
    wanted = "if (write) words[write_addr[BITS-1:0]] <= write_data;"
    assert text.count(wanted) == 1
    # a second write, as a decoder with a fault makes it; newer words hide it where they can
    fault = f"{wanted}\n    if (write && &write_addr) words[0] <= write_data;"
    (tmp_path / "ram.sv").write_text(text.replace(wanted, fault))
    files = [tmp_path / path.name if path.name == "ram.sv" else path for path in sources(hdl)]
    result = run(build("icarus", files, hdl.parent / "own", cache=cache), folder)
    assert any(difference.port.endswith(".end") for difference in result.differences)


@pytest.mark.parametrize(("name", "lines"), [("dilated", 7 * 3), ("ragged off", 5 * 2)])
def test_the_bundle_runs_by_its_own_makefile(
    name: str, lines: int, bundle_of: Callable[[str], Path], tmp_path: Path
) -> None:
    need("icarus")
    required = os.environ.get("RTL_SIMULATORS") == "required"
    if not shutil.which("make") and not required:
        pytest.skip("make is missing: apt-get install make")
    shutil.copytree(bundle_of(name), tmp_path / "alone")

    def make(*targets: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-C", str(tmp_path / "alone" / FOLDER), f"PYTHON={sys.executable}"]
        # isolated: nothing of the toolkit is found
        environment = {**os.environ, "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
        return subprocess.run(
            [*command, *targets], capture_output=True, text=True, env=environment, check=False
        )

    done = make("icarus")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"PASS: {lines} output lines") == 2
    done = make("icarus", "RUN=stress-pool")
    assert done.returncode == 0 and done.stdout.count("PASS: ") == 2
    built = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("alone.build/*/*")}
    assert built == {"alone.build/own/icarus", "alone.build/shared/icarus"}
    if not required:
        pytest.importorskip("cocotb")
    done = make("cocotb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TESTS=2 PASS=2 FAIL=0" in done.stdout + done.stderr
    file = tmp_path / "alone" / FOLDER / "runs" / "main" / "outputs.hex"
    alter(file)
    assert make("icarus").returncode != 0 and make("cocotb").returncode != 0
    alter(file)
    manifest = json.loads((tmp_path / "alone" / "manifest.json").read_text())
    listed = {entry["file"] for entry in manifest["attached"]}
    there = {path.relative_to(tmp_path / "alone").as_posix() for path in file.parents[2].rglob("*")}
    assert {name for name in there if (tmp_path / "alone" / name).is_file()} == listed


def test_a_run_that_does_not_end_is_stopped(
    bundle_of: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    bench, folder = built_and_run(bundle_of("dilated"), "icarus", cache, tmp_path)
    result = run(bench, folder, timeout=0.001)
    assert not result.passed and result.stopped == "gave no end within 0.001 s"


def test_a_design_is_built_once(
    bundle_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("icarus")
    calls: list[object] = []
    compiled = simulators.compile_bench
    monkeypatch.setattr(
        simulators, "compile_bench", lambda *given: (calls.append(given), compiled(*given))
    )
    root = bundle_of("dilated") / FOLDER
    copy = shutil.copytree(root / HDL, tmp_path / "copy")
    own = shutil.copytree(root / "own", tmp_path / "own")
    first = build("icarus", sources(root / HDL), root / "own", cache=tmp_path / "cache")
    assert build("icarus", sources(copy), own, cache=tmp_path / "cache") == first
    assert len(calls) == 1 and [path.name for path in Path(first.command[-1]).parent.iterdir()] == [
        "sim"
    ]
    (own / "engine_params.svh").write_text((own / "engine_params.svh").read_text() + "// new\n")
    assert build("icarus", sources(copy), own, cache=tmp_path / "cache") != first
    assert len(calls) == 2


def test_sources_that_do_not_compile_are_one_line(
    bundle_of: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    need("icarus")
    (tmp_path / "argmax.sv").write_text("module argmax;\n  nonsense\nendmodule\n")
    with pytest.raises(InputError, match=r"iverilog: .*argmax\.sv:"):
        check_bundle(bundle_of("dilated"), "icarus", Options(hdl=tmp_path, cache=cache))
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]
