import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fxp.calibrate import nominal_formats
from fxp.console import run
from fxp.floatnet import zero_floatnet
from fxp.lower import lower
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.store import save_graph
from hw_model.__main__ import app

PKU = Path(__file__).parent.parent / "examples" / "pkummd_rtstgcn.yaml"
TINY = """
skeleton: hugadb
in_channels: 6
embedding: 4
channels: [4, 8]
window: 3
classes: 5
"""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hw_model", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            run(app)
        found = capsys.readouterr()
        return int(stopped.value.code or 0), found.out, found.err

    return called


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def test_json_of_the_published_network(call: Any) -> None:
    code, out, err = call("estimate", PKU, "--accelerator", "pynq-z2", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["network"] == "pkummd_rtstgcn" and data["accelerator"] == "pynq-z2"
    assert (data["macs_dense"], data["macs"]) == (19_843_712, 17_421_824)


def test_table(call: Any, tiny: Path) -> None:
    code, out, err = call("estimate", tiny, "--accelerator", "zu7ev", "--frame-rate", "60")
    assert (code, err) == (0, "")
    for word in ("tiny on zu7ev", "interval", "fifo", "block1", "µJ", "fits"):
        assert word in out


def test_what_does_not_fit_is_said(call: Any, tiny: Path) -> None:
    code, out, _ = call("estimate", tiny, "--accelerator", "pynq-z2", "--frame-rate", "1e7")
    assert code == 0 and "does not fit: " in out and "1e+07 come in" in out


def test_widths_by_bits_and_by_file(call: Any, tiny: Path, tmp_path: Path) -> None:
    quant = tmp_path / "quant.yaml"
    quant.write_text("{weight_bits: 4, activation_bits: 4}\n")

    def memory_bits(*flags: str | Path) -> int:
        code, out, _ = call("estimate", tiny, "--accelerator", "pynq-z2", "--json", *flags)
        assert code == 0
        return int(json.loads(out)["memory_bits"])

    assert memory_bits("--bits", "4") == memory_bits("--quant", quant)
    assert memory_bits("--bits", "4") < memory_bits("--bits", "8") == memory_bits()


def test_adjacency(call: Any, tiny: Path) -> None:
    macs = {}
    for kind in ("dense", "sparse"):
        flags = ("--accelerator", "pynq-z2", "--json", "--adjacency", kind)
        macs[kind] = json.loads(call("estimate", tiny, *flags)[1])["macs"]
    assert macs["sparse"] < macs["dense"]


def test_a_model_file_costs_what_its_architecture_costs(
    call: Any, tiny: Path, tmp_path: Path
) -> None:
    arch, path = load_spec(ArchSpec, tiny), tmp_path / "tiny.fxp"
    save_graph(lower(zero_floatnet(arch), nominal_formats(arch, QuantSpec()), "tiny"), path)
    flags = ("--accelerator", "pynq-z2", "--json", "--adjacency", "dense")
    assert call("estimate", path, *flags) == call("estimate", tiny, *flags)


def test_presets(call: Any) -> None:
    code, out, _ = call("presets")
    assert code == 0 and all(name in out for name in ("array-8x8-16b", "pynq-z2", "zu7ev"))
    described = json.loads(call("presets", "--json")[1])
    assert [accelerator["name"] for accelerator in described] == sorted(
        accelerator["name"] for accelerator in described
    )


def test_published(call: Any) -> None:
    code, out, _ = call("published")
    assert code == 0 and "19,843,712" in out and "NO" not in out and "torchinfo" in out
    code, out, _ = call("published", "--json")
    data = json.loads(out)
    assert code == 0 and all(figure["agrees"] for figure in data["figures"])
    assert data["figures"][0]["convention"] in data["conventions"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["tiny.yaml", "--accelerator", "nope"], "unknown accelerator 'nope', allowed: array-8x8-"),
        (["tiny.yaml", "--accelerator", "no.yaml"], "no.yaml: cannot be read"),
        (["none.yaml", "--accelerator", "pynq-z2"], "none.yaml: cannot be read"),
        (["none.fxp", "--accelerator", "pynq-z2"], "none.fxp: no such file"),
        (["bad.yaml", "--accelerator", "pynq-z2"], "bad.yaml: key `chanels` is unknown"),
        (["tiny.yaml", "--accelerator", "pynq-z2", "--bits", "1"], "--bits 1: key `weight_bits`"),
        (["tiny.yaml", "--accelerator", "pynq-z2", "--bits", "x"], "Invalid value for '--bits'"),
        (["tiny.yaml", "--accelerator", "pynq-z2", "--quant", "bad.yaml"], "bad.yaml: key `skel"),
        (
            ["tiny.yaml", "--accelerator", "pynq-z2", "--bits", "8", "--quant", "bad.yaml"],
            "give --bits or --quant, not both",
        ),
        (["any.fxp", "--accelerator", "pynq-z2", "--bits", "8"], "a model file has its widths"),
        (
            ["tiny.yaml", "--accelerator", "array-8x8-16b", "--adjacency", "sparse"],
            "adjacency must be dense on an array engine",
        ),
        (["tiny.yaml", "--accelerator", "pynq-z2", "--adjacency", "odd"], "'odd' is not one of"),
        (
            ["tiny.yaml", "--accelerator", "pynq-z2", "--frame-rate", "0"],
            "on pynq-z2: frame rate must be",
        ),
        (["tiny.yaml"], "accelerator"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    call: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tiny.parent)
    Path("bad.yaml").write_text(TINY + "chanels: [4]\n")
    code, out, err = call("estimate", *flags)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_without_torch_and_as_a_module(tiny: Path) -> None:
    script = (
        "import sys; sys.argv = ['hw_model', 'estimate', sys.argv[1], '--accelerator', 'zu7ev']\n"
        "import runpy\n"
        "try: runpy.run_module('hw_model', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print(sorted({'torch', 'numba'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
