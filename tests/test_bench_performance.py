"""The page of speeds: aims both ways, tables from synthetic rows, refusals; the peak kernels."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from benchmarks import performance, performance_page
from benchmarks.bench_simulate import conv_macs, random_net
from benchmarks.peers import Results as PeerResults
from benchmarks.peers_forms import PEERS
from benchmarks.peers_measure import Row as PeerRow
from benchmarks.performance_aims import Aim, aims, faster, peer_aim, share_of_peak
from benchmarks.performance_environments import environments, machine
from benchmarks.performance_float import clip_forms
from benchmarks.performance_names import AVX2, FLOAT32, FREE, HELD, TORCH_CLIPS
from benchmarks.performance_networks import macs_per_frame
from benchmarks.performance_page import page, read_configurations
from benchmarks.performance_peak import MACS, SUMS, peaks
from benchmarks.performance_results import (
    Check,
    Machine,
    Results,
    Row,
    Section,
    SectionName,
    read_results,
)
from benchmarks.performance_scaling import with_joints
from benchmarks.performance_work import Timings, compare, lowered, noise
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.oracle import evaluate
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec

SMALL = ArchSpec(
    skeleton="hugadb", in_channels=3, embedding=8, channels=(8, 8), window=(3,), classes=4
)
MSGCN = ArchSpec(
    family="msgcn",
    skeleton="hugadb-msgcn",
    normalisation="column",
    in_channels=6,
    embedding=8,
    channels=(8, 8, 8),
    window=(3,),
    dilation=(1, 2, 4),
    refinements=2,
    classes=5,
)
STGCN = ArchSpec(
    family="stgcn",
    skeleton="ntu",
    normalisation="column",
    in_channels=3,
    channels=(8, 8, 12),
    window=(9,),
    stride=(1, 2, 1),
    classes=7,
)


def row(group: str, name: str, *times: float, frames: int = 100, macs: int = 10**6) -> Row:
    return Row(group=group, name=name, times_s=times, frames=frames, macs=macs)


def synthetic(sections: dict[SectionName, Section] | None = None) -> Results:
    """No measurement of anything."""
    return Results(
        machine=Machine(
            processor="synthetic",
            cores=1,
            memory_bytes=2**30,
            cache="none",
            system="none",
            tiers=("generic",),
            versions={"numba": "0"},
            date="1970-01-01",
        ),
        quick=False,
        sections={} if sections is None else sections,
        seconds={},
    )


def one_thread(own: float) -> Section:
    group = "512 frames"
    return Section(
        rows=(
            row(group, "8 bits", own, own, 9.0),
            row(group, "torch eager, MKL", 20.0),
            row(group, "torch eager, oneDNN", 10.0),
            row(group, "torch.compile", 5.0),
            row(group, "peak int8, vpdpbusd", 1.0, frames=0, macs=10**8),
        ),
        busy=0.5,
    )


def verdicts(results: Results) -> dict[str, Aim]:
    return {aim.what: aim for aim in aims(results)}


@pytest.mark.parametrize(
    ("own", "ratio", "verdict"),
    [
        (1.0, 10.0, "reached, and the further aim"),
        (1.25, 8.0, "reached, and the further aim"),
        (1.5, 10 / 1.5, "reached"),
        (2.0, 5.0, "aim missed"),
    ],
)
def test_a_ratio_is_against_the_faster_eager_form(own: float, ratio: float, verdict: str) -> None:
    found = verdicts(synthetic({"widths": one_thread(own)}))
    aim = found["8 bits, one thread, beside torch eager"]
    assert aim.figure == pytest.approx(ratio) and aim.verdict == verdict
    share = found["8 bits, 512 frames, of the peak of `vpdpbusd`"].figure
    assert share == pytest.approx(100 / own)


def test_aims_that_were_not_measured_say_so() -> None:
    assert {aim.verdict for aim in aims(synthetic())} == {"not measured"}
    some = aims(synthetic({"widths": one_thread(1.0)}))
    measured = [aim.what for aim in some if aim.verdict != "not measured"]
    assert measured == [
        "8 bits, one thread, beside torch eager",
        "8 bits, one thread, beside torch eager, MKL alone",
        "8 bits, 512 frames, of the peak of `vpdpbusd`",
    ]


@pytest.mark.parametrize(("tail", "verdict"), [(1.9, "reached"), (2.0, "aim missed")])
def test_a_tail_should_stay_below_its_bound(tail: float, verdict: str) -> None:
    times = [1.0] * 98 + [tail, tail]
    section = Section(rows=(row("one frame at a time", "8 bits", *times, frames=1),))
    aim = verdicts(synthetic({"streaming": section}))["8 bits, one frame, p99 over the median"]
    assert aim.figure == tail and aim.verdict == verdict


def test_frames_of_several_clips_count_together() -> None:
    section = Section(rows=(row("g", "pair", 1.0, frames=200), row("g", "one", 1.0)))
    assert faster(section, "g", "pair", ("one",)) == 2.0
    assert faster(section, "g", "pair", ("another",)) is None
    assert share_of_peak(section, "g", "pair", "another") is None


def test_the_page_of_nothing_and_of_something(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"rows": [{"engine": "this", "a minute": 12345.6, "x": 1.5}]}')
    nothing = page(synthetic(), None, None)
    assert nothing.count("\nNot measured.\n") == 11 and "{{" not in nothing
    wrong = Section(checks=(Check(what="all words", words=1234, differing=1),))
    sections: dict[SectionName, Section] = {"widths": one_thread(2.0), "words": wrong}
    peer = PeerRow(peer="some", times_s=(0.004, 0.002, 0.003), toolkit_s=(0.001,))
    absent = PeerRow(peer="other", absent=True, note="not installed")
    text = page(
        synthetic(sections),
        PeerResults(processor="synthetic", rows=(peer, absent)),
        read_configurations(path),
    )
    assert "| all words | 1,234 | 1 |" in text
    assert "| 8 bits | 50 | 11..50 | 0.1 | 5.00 | 2.50 |" in text
    assert "| int8, vpdpbusd | 0.1 | 0.1..0.1 | 50 | 5 | 10 | 20 |" in text
    assert "≥ 6.5x (further: 8x) | 5.00x | aim missed |" in text
    path = path.with_suffix(".txt")
    path.write_text("one\n two\n")
    assert read_configurations(path) == ["```", "one", " two", "```"]
    assert "spent on this 50 % of the time" in text
    assert (
        "| some | – | 3.000 | 2.000..4.000 | 1.000 | 3.00 | – |\n\n- other: not installed" in text
    )
    assert "| engine | a minute | x |\n| --- | ---: | ---: |\n| this | 12,346 | 1.5 |" in text


def test_a_quick_run_is_called_one() -> None:
    assert "`--quick` run" in page(synthetic().model_copy(update={"quick": True}), None, None)


def test_a_group_names_each_row_once() -> None:
    with pytest.raises(ValueError, match="a row stands twice"):
        Section(rows=(row("g", "n", 1.0), row("g", "n", 1.0)))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"rows": []}', '{"rows": [{"a": 1}, {"b": 1}]}', '{"rows": [{"a": []}]}']
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.json: not a file of `benchmarks\.performance"):
        read_results(path)
    with pytest.raises(InputError, match=r"other\.json: `rows`: a list of flat objects"):
        read_configurations(path)
    target = tmp_path / "page.md"
    arguments = ["performance_page", str(path), "--out", str(target)]
    code, error = called(performance_page.app, arguments)
    assert code == 2 and len(error.splitlines()) == 1 and not target.exists()


def called(app: object, arguments: list[str]) -> tuple[object, str]:
    error = io.StringIO()
    with (
        patch("sys.argv", arguments),
        contextlib.redirect_stderr(error),
        pytest.raises(SystemExit) as ended,
    ):
        run_app(app)  # type: ignore[arg-type]
    return ended.value.code, error.getvalue()


def test_results_are_read_back_and_the_page_is_written(tmp_path: Path) -> None:
    path, target = tmp_path / "p.json", tmp_path / "page.md"
    results = synthetic({"widths": one_thread(2.0)})
    path.write_text(results.model_dump_json(), encoding="utf-8")
    assert read_results(path) == results
    assert called(performance_page.app, ["page", str(path), "--out", str(target)])[0] == 0
    assert target.read_text(encoding="utf-8") == page(results, None, None)


def test_done_sections_are_not_measured_again(tmp_path: Path) -> None:
    path, asked = tmp_path / "p.json", []
    here = synthetic({"words": Section()}).model_copy(update={"machine": machine()})
    path.write_text(here.model_dump_json(), encoding="utf-8")

    def measured(name: SectionName, quick: bool) -> Section | None:
        assert not quick
        asked.append(name)
        return None if name == "startup" else one_thread(1.0)

    with patch.object(performance, "_measured", measured):
        assert called(performance.app, ["performance", "--json", str(path)])[0] == 1
        assert "words" not in asked and len(asked) == 8
        asked.clear()
        assert called(performance.app, ["performance", "--json", str(path)])[0] == 1
        assert asked == ["startup"]
        only = ["performance", "--json", str(path), "--only", "words"]
        assert called(performance.app, only)[0] == 0
    assert len(read_results(path).sections) == 8
    assert read_results(path).sections["words"] == one_thread(1.0)
    code, error = called(performance.app, ["performance", "--json", str(path), "--quick"])
    assert code == 2 and "`quick` is False there" in error
    code, error = called(performance.app, [*only[:-1], "word"])
    assert code == 2 and "section `word`: must be one of words, widths" in error


def test_words_that_differ_end_with_1(tmp_path: Path) -> None:
    wrong = Section(checks=(Check(what="some", words=5, differing=2),))
    arguments = ["p", "--json", str(tmp_path / "p.json"), "--only", "words"]
    with patch.object(performance, "_measured", lambda *_: wrong):
        code, error = called(performance.app, arguments)
    assert code == 1 and "WRONG: some: 2 of 5 words differ" in error


def test_an_older_processor_is_two_environments(tmp_path: Path) -> None:
    parts = environments("avx2", str(tmp_path))
    assert list(parts) == [FREE, HELD] and environments("words", "") == {"": {}}
    assert all(part["NUMBA_CACHE_DIR"] == str(tmp_path) for part in parts.values())
    assert parts[HELD].items() > parts[FREE].items()
    assert verdicts(
        synthetic(
            {"avx2": Section(rows=(row(FREE, AVX2, 1.0), row(FREE, "torch eager, MKL", 3.0)))}
        )
    )[f"8 bits {AVX2}, {FREE}"].figure == pytest.approx(3.0)


def test_peak_kernels_count_what_they_say() -> None:
    assert FLOAT32 in peaks() and set(peaks()) <= set(MACS)
    for name, kernel in peaks().items():
        for rounds in (0, 1, 1001):
            sums = kernel(rounds)
            assert len(sums) == 16 * SUMS
            assert (sums == rounds * MACS[name] // 16).all()


def test_turns_alternate_and_all_are_counted() -> None:
    calls: list[str] = []
    timings = Timings()
    work = {name: lambda name=name: calls.append(name) for name in "ab"}
    with contextlib.redirect_stderr(io.StringIO()):
        timings.by_turns("g", work, 3, frames=7, macs={"b": 5})
        timings.by_turns("h", work, 1, warm=True)
    assert "".join(calls) == "ab" + "abbaab" + "ab"
    assert [(r.name, len(r.times_s), r.frames, r.macs) for r in timings.rows[:2]] == [
        ("a", 3, 7, 0),
        ("b", 3, 7, 5),
    ]


def test_words_are_counted_one_by_one() -> None:
    found = {"y": np.array([[1, 2], [3, 5]]), "more": np.zeros(1, int)}
    check = compare("some", found, {"y": np.array([[1, 2], [3, 4]])})
    assert (check.words, check.differing) == (4, 1)


@pytest.mark.parametrize("joints", [5, 6, 13])
def test_a_chain_in_place_of_the_skeleton_is_a_network(joints: int) -> None:
    graph = with_joints(lowered(random_net(SMALL, 0), 8), joints)
    clip = noise(graph, 4)
    assert clip.shape == (4, 3, joints)
    found, expected = run(compile_graph(graph), clip)[0], evaluate(graph, clip)
    assert all((found[name] == expected[name]).all() for name in graph.outputs)


def test_macs_behind_a_stride_are_fewer() -> None:
    net = random_net(STGCN, 0)
    graph = lowered(net, 8)
    per_frame = 25 * (3 * 8 * 3 + 8 * 8 * 9)  # block 0, every frame
    per_frame += 25 * (8 * 24) + 25 * (8 * 8 * 9 + 8 * 8) // 2  # block 1: its taps stride
    per_frame += 25 * (8 * 36 + 12 * 12 * 9 + 8 * 12) // 2
    assert macs_per_frame(graph) == per_frame
    small = lowered(random_net(SMALL, 0), 8)
    assert macs_per_frame(small) == conv_macs(small)


@pytest.mark.parametrize("arch", [MSGCN, STGCN], ids=["msgcn", "stgcn"])
def test_float_forms_equal_the_model(arch: ArchSpec) -> None:
    rng = np.random.default_rng(3)
    params = dict(random_net(arch, 0).params)
    for key, value in params.items():
        if key.endswith("bias"):
            params[key] = rng.normal(size=value.shape)
        elif key.endswith("norm.scale"):
            params[key] = rng.uniform(0.5, 1.0, value.shape)
    blank = random_net(arch, 0)
    forms = clip_forms(FloatNet(arch, params, blank.observations, blank.meta))
    assert tuple(forms) == TORCH_CLIPS
    joints = params["input_norm.scale"].shape[1]
    x = torch.randn(83, arch.in_channels, joints, generator=torch.Generator().manual_seed(1))
    expected = forms["torch, as trained"](x)
    assert expected.shape == ((1, 7) if arch is STGCN else (83, 5))
    for form in forms.values():
        for _ in range(2):
            assert float((form(x) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_peer_is_held_to_its_aim() -> None:
    assert peer_aim("brevitas") == 14
    assert peer_aim("da4ml") is None
    names = {peer.name for peer in PEERS}
    assert {name for name in names if peer_aim(name)} == {
        "brevitas",
        "numpy int64 einsum",
        "apytypes",
        "qonnx",
        "hls4ml",
        "fxpmath",
    }
