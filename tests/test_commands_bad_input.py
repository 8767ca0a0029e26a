"""Wrong input to every command: one line, exit code 2, and no file more or less than before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.models.build import build
from tests.commands import ARCH, arch_of, call

CONFIGS = {
    "empty": "",
    "text": "just text",
    "open": "{{{",
    "threads": "network: net.ckpt\nthreads: .inf\n",
    "list": "network: [net.ckpt]\n",
    "null": "network: null\n",
    "no_name": "network: ''\n",
    "null_byte": 'network: "a\\0b"\n',
    "superscript": "network: net.ckpt\nsubjects: '²'\n",
    "large": "network: net.ckpt\nsubjects: 99999999999999999999999\n",
    "nobody": "arch: {skeleton: nobody}\nout: x.ckpt\n",
    "vectors": "arch: arch.yaml\nout: x.ckpt\nrecipe: {augmentation: {vectors: 3}}\n",
    "no_feature": "arch: arch.yaml\nout: x.ckpt\n"
    "features: {displacement: false, relative: false}\n",
    "reference": "arch: arch.yaml\nout: x.ckpt\nfeatures: {reference: 77}\n",
    "both": "arch: arch.yaml\nout: x.ckpt\ntrain: 1\nvalid: 1\n",
    "sides": "arch: arch.yaml\nout: x.ckpt\ntrain: 1\nsplit: xsub\n",
    "no_arch": "arch: null\nout: x.ckpt\n",
    "bits": "network: net.ckpt\nout: x.fxp\nbits: 8.5\n",
    "quant": "network: net.ckpt\nout: x.fxp\nquant: {weight_bits: 99}\n",
    "stream": "network: net.ckpt\nout: x.fxp\nstream_bits: 40\n",
}
CASES = [
    ("evaluate --config empty.yaml", "NETWORK is needed (on the command line, or as `network`"),
    ("evaluate --config text.yaml", "text.yaml: a mapping of keys is needed, got str"),
    ("evaluate --config open.yaml", "open.yaml: not valid YAML at line 1"),
    ("evaluate --config binary.yaml", "binary.yaml: cannot be read (no UTF-8 at byte 0)"),
    ("evaluate --config folder", "folder: cannot be read (Is a directory)"),
    ("evaluate --config gone.yaml", "gone.yaml: cannot be read (No such file or directory)"),
    ("evaluate --config threads.yaml", "threads.yaml: key `threads`: Input should be a valid int"),
    ("evaluate --config list.yaml", "list.yaml: key `network`: Input is not a valid path"),
    ("evaluate --config null.yaml", "null.yaml: key `network`: Input is not a valid path"),
    ("evaluate --config no_name.yaml", "not a readable model file (IsADirectoryError"),
    ("evaluate --config null_byte.yaml", "null_byte.yaml: key `network`: a path without null"),
    ("evaluate --config superscript.yaml", "key `subjects`: participants as `1,5,6` are needed"),
    ("evaluate --config large.yaml", "participant 99999999999999999999999 is absent"),
    ("evaluate", "NETWORK is needed"),
    ("evaluate gone.ckpt", "gone.ckpt: no such file"),
    ("evaluate folder", "folder: not a readable model file (IsADirectoryError"),
    ("evaluate nothing.ckpt", "nothing.ckpt: not a readable model file (BadZipFile"),
    ("evaluate arch.yaml", "arch.yaml: not a readable model file (BadZipFile"),
    ("evaluate net.ckpt --data gone", "gone: no such file or folder"),
    ("evaluate net.ckpt --data folder", "folder: no data set recognised here (known: HuGaDB,"),
    ("evaluate net.ckpt --data arch.yaml", "arch.yaml: no data set recognised here"),
    ("evaluate net.ckpt --data hugadb", "hugadb_various_p01.npz: not a readable npz file"),
    ("evaluate net.ckpt --data trials", "trials/features/a.npy: no label file"),
    ("evaluate net.ckpt --labels v3", "Invalid value for '--labels'"),
    ("evaluate net.ckpt --subjects -1", "--subjects: participants as `1,5,6` are needed, got '-1'"),
    ("evaluate net.ckpt --subjects nan", "--subjects: participants as `1,5,6` are needed"),
    ("evaluate net.ckpt --threads -1", "Invalid value for '--threads'"),
    ("evaluate net.ckpt --confusion folder", "folder: cannot be written (is a folder"),
    ("evaluate net.ckpt --confusion no/x.csv", "no/x.csv: cannot be written (no folder no)"),
    ("evaluate net.ckpt --confusion /proc/x.csv", "/proc/x.csv: cannot be written ("),
    ("evaluate net.ckpt --split xsub", "no published split or parts: choose participants"),
    ("evaluate net.ckpt --part valid", "no published split or parts: choose participants"),
    ("evaluate net.ckpt --part first", "Invalid value for '--part'"),
    ("evaluate net.ckpt --skeleton hugadb", "`--skeleton` is for published checkpoints"),
    ("evaluate net.ckpt --family msgcn", "net.ckpt: not a torch file"),
    ("evaluate net.ckpt --family foo", "Invalid value for '--family'"),
    ("evaluate net.ckpt --window 9", "`--window` is for published checkpoints: give `--family`"),
    ("evaluate net.ckpt --config-json arch.yaml", "`--config-json` is for published checkpoints"),
    ("info net.ckpt --no-importance", "`--importance` is for published checkpoints"),
    ("info net.ckpt --window 9,x", "--window: numbers as `9` or `9,9,69` are needed, got '9,x'"),
    ("info net.ckpt --residual 0,2", "--residual: flags as `0,1,1` are needed, got '0,2'"),
    ("train arch.yaml --out x.ckpt --device tpu", "Invalid value for '--device'"),
    ("evaluate net.ckpt --reader gone.yaml", "gone.yaml: cannot be read"),
    ("evaluate net.ckpt --reader arch.yaml", "synthetic recordings: no reader settings, got skel"),
    ("evaluate net.ckpt --nothing", "No such option: --nothing"),
    ("predict net.ckpt", "--out is needed (on the command line, or as `out` in --config)"),
    ("predict net.ckpt --out arch.yaml", "arch.yaml: is a file; a folder is needed"),
    ("predict net.ckpt --out .", ".: is not empty and holds no predictions"),
    ("predict net.ckpt --out /proc/x", "/proc/x: cannot be written"),
    ("predict net.ckpt --out no/x", "no/x: cannot be written"),
    ("predict net.ckpt --out p --recordings ../x", "--recordings: '../x' is none of the 32 of"),
    ("predict net.ckpt --out p --recordings ,", "--recordings: names as `a,b` are needed, got ','"),
    ("train gone.yaml --out x.ckpt", "gone.yaml: cannot be read"),
    ("train text.yaml --out x.ckpt", "text.yaml: a mapping of keys is needed, got str"),
    ("train arch.yaml", "--out is needed"),
    ("train arch.yaml --out x.ckpt --data trials", "trials: no train with features/"),
    ("train arch.yaml --out /proc/x/y.ckpt", "/proc/x/cache: cannot be made"),
    ("train arch.yaml --out arch.yaml/x.ckpt", "arch.yaml/cache: cannot be made"),
    ("train arch.yaml --out x.ckpt --seed nan", "Invalid value for '--seed'"),
    ("train --config nobody.yaml", "nobody.yaml: arch: key `skeleton`: unknown skeleton 'nobody'"),
    ("train --config vectors.yaml --cache .", "`vectors`: 3 triples need 9 channels"),
    ("train --config no_feature.yaml", "`displacement` or `relative` must be asked for"),
    ("train --config reference.yaml", "`reference` must be 0..5, got 77"),
    ("train --config both.yaml", "participant 1 is in both train and valid"),
    ("train --config sides.yaml", "give --split, or --train and --valid, not both"),
    ("train --config no_arch.yaml", "no_arch.yaml: key `arch`: Input should be"),
    ("export net.ckpt --out folder", "folder: cannot be written (is a folder"),
    ("export net.ckpt --out no/x.fxp", "no/x.fxp: cannot be written (no folder no)"),
    ("export net.ckpt --out x.fxp --bits 999", "--bits 999: key `weight_bits`"),
    ("export net.ckpt --out x.fxp --clips 0", "Invalid value for '--clips'"),
    ("export net.ckpt --out x.fxp --subjects 99", "participant 99 is absent"),
    ("export net.ckpt --out x.fxp --quant gone.yaml", "gone.yaml: cannot be read"),
    ("export --config bits.yaml", "bits.yaml: key `bits`: Input should be a valid integer"),
    ("export --config quant.yaml", "quant.yaml: quant: key `weight_bits`: Input should be less"),
    ("export --config stream.yaml", "key `stream_bits`: Input should be less than or equal to 32"),
    ("info", "NETWORK is needed"),
    ("info gone", "gone: no such file"),
    ("info /dev/null", "/dev/null: not a readable model file"),
    ("info net.ckpt --family msgcn", "net.ckpt: not a torch file"),
    ("data check", "PATH is needed (on the command line, or as `path` in --config)"),
    ("data check gone", "gone: no such file or folder"),
    ("data check folder", "folder: no data set recognised here"),
    ("data check hugadb", "hugadb_various_p01.npz: not a readable npz file"),
    ("data check trials --labels v9", "Invalid value for '--labels'"),
    ("data check hugadb --reader arch.yaml", "hugadb: HuGaDB: no reader settings, got skeleton"),
    ("nothing", "No such command 'nothing'"),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad files, which no wrong command may change."""
    room = tmp_path_factory.mktemp("room")
    arch = arch_of(ARCH, room)
    save_checkpoint(build(arch), arch, room / "net.ckpt", {})
    for name, text in CONFIGS.items():
        (room / f"{name}.yaml").write_text(text)
    (room / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (room / "nothing.ckpt").touch()
    for folder in ("folder", "hugadb/various", "trials/features", "trials/labels"):
        (room / folder).mkdir(parents=True)
    (room / "hugadb" / "various" / "hugadb_various_p01.npz").write_bytes(b"PK\x03\x04junk")
    np.save(room / "trials" / "features" / "a.npy", np.zeros((3, 4, 5)))
    return room


def contents(room: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in room.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("line", "message"), CASES, ids=[line for line, _ in CASES])
def test_one_line_and_nothing_written(
    line: str, message: str, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room)
    before = contents(room)
    done = call(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert message in done.err
    assert contents(room) == before and not (room / "no").exists() and not (room / "p").exists()


@pytest.mark.parametrize("command", ["info", "evaluate", "export"])
def test_truncated_networks(command: str, room: Path, tmp_path: Path) -> None:
    content = (room / "net.ckpt").read_bytes()
    for part in range(8):
        cut = tmp_path / "cut.ckpt"
        cut.write_bytes(content[: len(content) * part // 8])
        more = ("--out", str(tmp_path / "x.fxp")) if command == "export" else ()
        done = call(command, str(cut), *more)
        assert (done.code, done.out) == (2, "") and done.err.startswith(f"error: {cut}: not a")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.ckpt"]
