"""The SystemVerilog package: read by Icarus Verilog and by slang, its numbers the network's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fxp.errors import InputError
from fxp.golden import write_bundle
from fxp.interop.sv_params import export_sv, sv_package
from fxp.memories import constant_words
from fxp.qformat import Overflow, Rounding
from tests.foreign import Case, family_cases, golden_cases

CASES = golden_cases() + family_cases(["rtstgcn"])

BENCH = """
module bench;
  import network_pkg::*;
  logic [N6_BLOCK0_CONV_WEIGHT_LINE_BITS-1:0] weight [0:N6_BLOCK0_CONV_WEIGHT_WORDS-1];
  initial begin
    $readmemh(N6_BLOCK0_CONV_WEIGHT_FILE, weight);
    $display("%0d %0d %0d", N10_BLOCK0_SUM_WINDOW, N10_BLOCK0_SUM_DILATION,
             N10_BLOCK0_SUM_FIFO_DEPTH);
    $display("%0d %0d %0d", N12_BLOCK0_NORM_Q_ROUNDING, N12_BLOCK0_NORM_Q_OVERFLOW,
             N12_BLOCK0_NORM_Q_RELU);
    for (int c = 0; c < N12_BLOCK0_NORM_Q_CHANNELS; c++)
      $display("%0d", $signed(N12_BLOCK0_NORM_Q_SHIFT[32 * c +: 32]));
    for (int i = 0; i < N6_BLOCK0_CONV_WEIGHT_WORDS; i++) $display("%0d", $signed(weight[i]));
  end
endmodule
"""


def icarus(folder: Path, *sources: str) -> str:
    """What a design prints; skipped without Icarus Verilog."""
    if not shutil.which("iverilog"):
        pytest.skip("no iverilog on PATH")
    command = ["iverilog", "-g2012", "-Wall", "-o", "bench.vvp", *sources]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "timescale" not in line] == []
    run = ["vvp", "-n", "bench.vvp"]
    return subprocess.run(run, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_bench_reads_the_bundle_by_the_package(tmp_path: Path) -> None:
    case = golden_cases(["dilated"])[0]
    write_bundle(case.graph, case.clip, tmp_path / "bundle")
    export_sv(case.graph, tmp_path / "bundle" / "network_pkg.sv")
    (tmp_path / "bundle" / "bench.sv").write_text(BENCH)
    lines = icarus(tmp_path / "bundle", "network_pkg.sv", "bench.sv").splitlines()
    conv = next(node for node in case.graph.nodes if node.name == "block0.conv")
    modes = [list(Rounding).index(Rounding.RND), list(Overflow).index(Overflow.SAT), 1]
    assert lines[:2] == ["3 2 6", " ".join(map(str, modes))]
    assert lines[2:5] == [
        "3",
        "2",
        "4",
    ]  # 4 + 7, 6, 8 fractional bits, to 8
    weights = constant_words(conv, "weight").reshape(-1).tolist()
    assert list(map(int, lines[5:])) == weights


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_icarus_accepts_every_network(case: Case, tmp_path: Path) -> None:
    export_sv(case.graph, tmp_path / "network_pkg.sv", lanes=4)
    (tmp_path / "top.sv").write_text(
        'module top; initial $display("%0d %0d", network_pkg::NODES, network_pkg::LANES);\n'
        "endmodule\n"
    )
    assert icarus(tmp_path, "network_pkg.sv", "top.sv") == f"{len(case.graph.nodes)} 4\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_slang_finds_nothing(case: Case) -> None:
    slang = pytest.importorskip("pyslang", reason="the package pyslang is not installed")
    tree = slang.syntax.SyntaxTree.fromText(sv_package(case.graph))
    compilation = slang.ast.Compilation()
    compilation.addSyntaxTree(tree)
    assert [str(found.code) for found in compilation.getAllDiagnostics()] == []


def test_refusals(tmp_path: Path) -> None:
    graph = golden_cases(["dilated"])[0].graph
    with pytest.raises(InputError, match="`lanes` must be 1"):
        export_sv(graph, tmp_path / "network_pkg.sv", lanes=0)
    with pytest.raises(InputError, match="cannot be written"):
        export_sv(graph, tmp_path / "no" / "network_pkg.sv")
