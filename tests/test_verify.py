import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp import trace
from fxp.errors import InputError
from fxp.golden import bundle_files, file_sha256, write_bundle
from fxp.ir import IntArray
from fxp.manifest import manifest_sha256, render
from fxp.verify import Mismatch, verify_bundle
from tests.golden import networks, regenerate
from tests.golden.networks import CASES

HERE = Path(__file__).parent / "golden"
FILES = sorted((name, file) for name in CASES for file in bundle_files(HERE / name))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the committed bundle `dilated`."""
    return Path(shutil.copytree(HERE / "dilated", tmp_path / "dilated"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter the manifest so that only its contents can give it away."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    manifest["manifest_sha256"] = manifest_sha256(manifest)
    path.write_bytes(render(manifest))


def edit_line(folder: Path, file: str, line: int, text: str) -> None:
    """Replace a line of a memory and make every hash right again."""
    path = folder / file
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = text.encode()
    path.write_bytes(b"\n".join(lines))

    def rehash(manifest: dict[str, Any]) -> None:
        entry = next(e for e in manifest["files"] if e["file"] == file)
        entry["sha256"] = file_sha256(path)

    edit_manifest(folder, rehash)


def line_of(folder: Path, file: str, line: int) -> str:
    return (folder / file).read_text().split("\n")[line - 1]


def damage(folder: Path, **options: Any) -> str:
    """The one line with which a damaged bundle is refused."""
    with pytest.raises(InputError) as caught:
        verify_bundle(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------- committed bundles


@pytest.mark.parametrize("name", CASES)
def test_committed_bundles_are_right_word_for_word(name: str) -> None:
    result = verify_bundle(HERE / name, oracle=True)
    assert result.engines == ("simulator", "oracle")
    assert [str(mismatch) for mismatch in result.mismatches] == []
    assert result.files == len(set(bundle_files(HERE / name)))
    assert result.words > 800


def test_committed_bundles_record_their_origin() -> None:
    for name, case in CASES.items():
        manifest = json.loads((HERE / name / "manifest.json").read_bytes())
        assert manifest["provenance"] == {
            "synthetic": True,
            "generator": regenerate.COMMAND,
            "network": f"tests.golden.networks.{name}",
            "seed": case.seed,
        }
        assert manifest["tool_version"]
        assert callable(getattr(networks, name))


def test_regeneration_reports_what_changed(bundle: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    shutil.copytree(bundle, new)
    assert regenerate.differences(bundle, new) == []
    (bundle / "model.fxp").unlink()
    (new / "values" / "pool.hex").unlink()
    path = new / "values" / "label.hex"
    path.write_text(path.read_text().replace("1\n", "2\n"))
    count = (bundle / "values" / "label.hex").read_text().count("1")
    assert regenerate.differences(bundle, new) == [
        "removed values/pool.hex",
        "added model.fxp",
        f"changed values/label.hex ({count} lines)",
    ]


# ---------------------------------------------------------------------------- damage


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(FILES), st.data())
def test_a_flipped_bit_of_any_file_is_found_and_named(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, str], data: st.DataObject
) -> None:
    name, file = place
    folder = tmp_path_factory.getbasetemp() / f"flipped-{name}"
    if not folder.exists():
        shutil.copytree(HERE / name, folder)
    path = folder / file
    whole = path.read_bytes()
    altered = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(altered)
    try:
        assert damage(folder).startswith(f"{path}: ")
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("file", sorted(bundle_files(HERE / "narrow")))
def test_a_missing_short_or_long_file_is_named(tmp_path: Path, file: str) -> None:
    folder = Path(shutil.copytree(HERE / "narrow", tmp_path / "narrow"))
    path = folder / file
    whole = path.read_bytes()
    for altered in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"0\n"):
        path.write_bytes(altered)
        assert damage(folder).startswith(f"{path}: ")
    path.unlink()
    assert damage(folder).startswith(f"{path}: file is missing")


def test_every_byte_of_a_manifest_counts(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    graph, clip = networks.make(CASES["narrow"])
    write_bundle(graph, clip[:1], folder, taps=[], snapshots=[])
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 29):
        path.write_bytes(whole[:at] + b" " + whole[at:])
        assert damage(folder).startswith(f"{path}: ")


def test_files_that_are_not_listed(bundle: Path) -> None:
    extra = bundle / "values" / "more.hex"
    extra.write_text("00\n")
    assert damage(bundle) == f"{extra}: file is not listed in manifest.json"


def test_a_link_is_not_followed(bundle: Path) -> None:
    path = bundle / "values" / "label.hex"
    moved = bundle.parent / "label.hex"
    path.rename(moved)
    path.symlink_to(moved)
    assert damage(bundle) == f"{path}: is a symbolic link; a bundle holds plain files"


def test_folders_that_are_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert damage(tmp_path / "nothing").endswith("file is missing; not a golden bundle")
    (tmp_path / "file").write_text("")
    assert damage(tmp_path / "file").endswith("file is missing; not a golden bundle")
    for text in ("[]", "{}", '{"format": "other"}'):
        path.write_text(text)
        assert damage(tmp_path).startswith(f"{path}: not the manifest of a golden bundle")
    path.write_text("{")
    assert damage(tmp_path).startswith(f"{path}: not valid JSON")


HOSTILE: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(version=2), "`version` must be 1, got 2"),
    (lambda m: m.pop("version"), "`version` must be 1, got None"),
    (lambda m: m.pop("files"), "`graph` and `files` must give the sha256 of each file"),
    (lambda m: m.update(files=3), "`graph` and `files` must give the sha256 of each file"),
    (lambda m: m.pop("graph"), "`graph` and `files` must give the sha256 of each file"),
    (lambda m: m.pop("frames"), "key `frames` is missing"),
    (lambda m: m.update(frames=0), "`frames` must be an int >= 1, got 0"),
    (lambda m: m.update(frames=True), "`frames` must be an int >= 1, got True"),
    (lambda m: m.update(lanes=0), "`lanes` must be 1..1024, got 0"),
    (lambda m: m.update(lanes=2), "expected"),
    (lambda m: m.update(taps="label"), "`taps` must be of type list, got 'label'"),
    (lambda m: m.update(taps=["label"]), "`files` and the graph disagree on values/block0.add"),
    (lambda m: m.update(snapshots=[99]), "`snapshots`: frames must be 0..8, got 99"),
    (lambda m: m.update(provenance=[]), "`provenance` must be of type dict, got []"),
    (lambda m: m.update(tool_version=1), "`tool_version` must be of type str, got 1"),
    (lambda m: m.update(more=1), "more: unknown key"),
    (lambda m: m["graph"].update(hash="0"), "graph.hash: expected"),
    (lambda m: m["files"][0].update(word_bits=9), "files[0].word_bits: expected 8, got 9"),
    (lambda m: m["files"][0].update(frac_bits=[9]), "files[0].frac_bits[0]: expected 6, got 9"),
    (lambda m: m["files"].reverse(), "files[0]."),
    (lambda m: m["stages"][2]["node"]["cast"].update(rounding="TRN"), "stages[2].node.cast.r"),
    (lambda m: m["stages"][10]["value"].update(bound=[-1, 1]), "stages[10].value.bound[0]:"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_manifests_that_no_writer_makes(
    bundle: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_manifest(bundle, change)
    found = damage(bundle)
    assert found.startswith(f"{bundle / 'manifest.json'}: ")
    assert message in found


@pytest.mark.parametrize("file", ["../escape.hex", "/etc/passwd", "values/../values/label.hex"])
def test_paths_that_leave_the_bundle_are_never_read(bundle: Path, file: str) -> None:
    edit_manifest(bundle, lambda m: m["files"][0].update(file=file))
    assert damage(bundle) == f"{bundle / file}: file is missing"


def test_more_frames_than_there_are(bundle: Path) -> None:
    """A manifest consistent in itself, yet not with the sizes of its files."""

    def longer(manifest: dict[str, Any]) -> None:
        manifest["frames"] = 10**12
        for entry in manifest["files"]:
            if entry["role"] == "value":
                entry["words"] = entry["words"] // 9 * 10**12
                entry["shape"][0] = 10**12

    edit_manifest(bundle, longer)
    path = bundle / "values" / "input.hex"
    expected = f"{12 * 10**12} words of 3 hex digits are {48 * 10**12} bytes, found 432"
    assert damage(bundle) == f"{path}: {expected}"


def test_digits_beyond_the_word(bundle: Path) -> None:
    edit_line(bundle, "values/label.hex", 3, "4")
    path = bundle / "values" / "label.hex"
    assert damage(bundle) == f"{path}: line 3: the word has more than 2 bits"
    edit_line(bundle, "values/label.hex", 3, "A")
    assert damage(bundle) == f"{path}: line 3: 1 lower-case hex digits and LF are needed"


# ---------------------------------------------------------------------------- mismatches


def test_a_wrong_value_is_named_by_frame_joint_and_channel(bundle: Path) -> None:
    file = "values/block0.sum.hex"
    line = 1 + (5 * 4 + 2) * 3 + 1  # frame 5, joint 2, channel 1
    right = int(line_of(bundle, file, line), 16)
    edit_line(bundle, file, line, f"{right ^ 0x200:03x}")
    result = verify_bundle(bundle, oracle=True)
    signed = [value - 1024 * (value >> 9) for value in (right, right ^ 0x200)]
    for engine, mismatch in zip(("simulator", "oracle"), result.mismatches, strict=True):
        assert mismatch == Mismatch(
            engine=engine,
            file=file,
            line=line,
            lane=0,
            node="block0.sum",
            role="value",
            index={"frame": 5, "joint": 2, "channel": 1},
            word_bits=10,
            expected=signed[1],
            found=signed[0],
        )
    assert str(result.mismatches[0]) == (
        f"values/block0.sum.hex line {line}: node block0.sum (value), frame 5, joint 2, channel 1: "
        f"expected 0x{right ^ 0x200:03x} ({signed[1]}), "
        f"the simulator finds 0x{right:03x} ({signed[0]})"
    )


def test_the_first_node_that_differs_is_reported_before_earlier_frames(bundle: Path) -> None:
    for file, line in (
        ("state/block0.sum.fifo.t0.hex", 1),
        ("values/logits.hex", 1),
        ("values/block0.conv.q.hex", 300),
        ("values/block0.conv.q.hex", 200),
    ):
        word = line_of(bundle, file, line)
        edit_line(bundle, file, line, word[:-1] + f"{int(word[-1], 16) ^ 1:x}")
    (mismatch,) = verify_bundle(bundle, oracle=False).mismatches
    assert (mismatch.node, mismatch.line) == ("block0.conv.q", 200)
    assert mismatch.index == {"frame": 5, "joint": 2, "channel": 1}


@pytest.mark.parametrize(
    ("file", "index", "role"),
    [
        (
            "state/block0.sum.fifo.t4.hex",
            {"after frame": 4, "slot": 1, "joint": 0, "channel": 2},
            "fifo",
        ),
        (
            "state/block0.sum.accumulator.t4.hex",
            {"after frame": 4, "phase": 1, "joint": 0, "channel": 2},
            "accumulator",
        ),
    ],
)
def test_a_wrong_snapshot(bundle: Path, file: str, index: dict[str, int], role: str) -> None:
    word = line_of(bundle, file, 15)
    edit_line(bundle, file, 15, word[:-1] + f"{int(word[-1], 16) ^ 1:x}")
    result = verify_bundle(bundle, oracle=True)
    assert [m.engine for m in result.mismatches] == ["simulator", "oracle"]
    for mismatch in result.mismatches:
        assert (mismatch.file, mismatch.role, mismatch.index) == (file, role, index)
        assert abs(mismatch.expected - mismatch.found) == 1


def test_a_wrong_constant(bundle: Path) -> None:
    file = "constants/block0.conv.weight.hex"
    word = line_of(bundle, file, 8)
    edit_line(bundle, file, 8, f"{int(word, 16) ^ 0x80:02x}")
    (mismatch,) = verify_bundle(bundle).mismatches
    assert (mismatch.engine, mismatch.node, mismatch.role) == ("model", "block0.conv", "constant")
    assert mismatch.index == {"out": 2, "in": 1}
    assert abs(mismatch.expected - mismatch.found) == 128


def test_a_wrong_lane(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(HERE / "ragged", tmp_path / "ragged"))
    file = "values/block0.add.q.hex"  # 5 channels of 7 bits in 4 lanes
    line = 1 + (3 * 3 + 1) * 2  # frame 3, joint 1, channels 0..3
    word = int(line_of(folder, file, line), 16) ^ (1 << (2 * 7))
    edit_line(folder, file, line, f"{word:07x}")
    mismatch = verify_bundle(folder).mismatches[0]
    assert mismatch.index == {"frame": 3, "joint": 1, "channel": 2}
    assert (mismatch.line, mismatch.lane) == (line, 2)
    assert f"line {line} lane 2: node block0.add.q" in str(mismatch)


def test_a_wrong_stimulus_shows_in_the_first_node(bundle: Path) -> None:
    word = line_of(bundle, "values/input.hex", 1)
    edit_line(bundle, "values/input.hex", 1, f"{int(word, 16) ^ 1:03x}")
    mismatch = verify_bundle(bundle).mismatches[0]
    assert mismatch.node == "input_norm"
    assert mismatch.index == {"frame": 0, "joint": 0, "channel": 0}


def test_a_wrong_simulator_is_told_from_a_wrong_bundle(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = trace.run

    def wrong(*args: Any, **options: Any) -> tuple[dict[str, IntArray], Any]:
        values, state = honest(*args, **options)
        return {**values, "pool": np.where(values["pool"] > 0, values["pool"] + 1, 0)}, state

    monkeypatch.setattr(trace, "run", wrong)
    result = verify_bundle(bundle, oracle=True)
    assert [(m.engine, m.node) for m in result.mismatches] == [("simulator", "pool")]
    assert result.mismatches[0].found == result.mismatches[0].expected + 1


def test_the_oracle_runs_unasked_on_small_bundles_alone(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify_bundle(bundle).engines == ("simulator", "oracle")
    assert verify_bundle(bundle, oracle=False).engines == ("simulator",)
    monkeypatch.setattr("fxp.verify.ORACLE_WORDS", 100)
    assert verify_bundle(bundle).engines == ("simulator",)
    assert verify_bundle(bundle, oracle=True).engines == ("simulator", "oracle")
