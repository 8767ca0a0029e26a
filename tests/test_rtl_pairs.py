"""Engines whose lanes share a multiplier, two each: every word and every cycle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fxp.errors import InputError
from hw_model.cost import estimate
from hw_model.rtl import simulators
from hw_model.rtl.bench_files import hardware_files
from hw_model.rtl.design import design_of
from hw_model.rtl.runs import Settings, plan_runs
from hw_model.rtl.toolchains import Simulator, find_tools
from tests.accelerators import machine
from tests.rtl_cases import need
from tests.rtl_networks import special_network
from tests.rtl_runs import written

PACKING = {"max_weight_bits": 32, "max_activation_bits": 32, "products": 2}
ENGINES = (  # network, lanes
    ("plain", 2),
    ("ragged", 4),
    ("scaled-norm", 6),  # norms that multiply
    ("four-bits", 4),
    ("lookahead", 4),
    ("sixteen-bits", 2),
)


def simulated(name: str, lanes: int, simulator: Simulator, tmp_path: Path) -> None:
    need(simulator)
    network = special_network(name)
    settings = Settings(lanes, paired=True, stress=False)
    whole, clips = plan_runs(network.graph, network.clip, settings).runs
    assert whole.design.parameters["PAIRED"] == 1
    folder = written(tmp_path / "one", {**whole.bench.files, **hardware_files(whole.design)})
    several = written(tmp_path / "several", clips.bench.files)
    built = simulators.build(simulator, simulators.sources(), folder, cache=tmp_path / "built")
    plain = simulators.run(built, folder)
    for done in (plain, simulators.run(built, folder, stall=True), simulators.run(built, several)):
        assert done.passed, done.log
    assert plain.cycles == whole.bench.cycles
    multiplier = {"max_weight_bits": 32, "max_activation_bits": 32, "packing": [PACKING]}
    found = estimate(network.graph, machine(lanes // 2, multiplier=multiplier))
    assert {layer.basis for layer in found.layers} == {"rtl"}
    last = whole.bench.timing[len(network.clip) - 1]
    assert last.ends - last.begins == found.interval_cycles


@pytest.mark.parametrize(("name", "lanes"), ENGINES)
def test_paired_engine_is_exact(name: str, lanes: int, tmp_path: Path) -> None:
    simulated(name, lanes, "icarus", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lanes"), ENGINES)
def test_paired_engine_is_exact_in_verilator(name: str, lanes: int, tmp_path: Path) -> None:
    simulated(name, lanes, "verilator", tmp_path)


def test_pairs_need_an_even_number_of_lanes() -> None:
    with pytest.raises(InputError, match=r"lanes: paired ones must be even in number, got 3"):
        design_of(special_network("plain").graph, 3, paired=True)


BENCH = """
module bench;
  logic signed [{x}-1:0] x0, x1;
  logic signed [{w}-1:0] w0, w1;
  logic weight_shared, side;
  logic signed [{x}+{w}-1:0] product0, product1, wanted0, wanted1;
  int wrong = 0, done = 0;
  pair_product #(.X_BITS({x}), .W_BITS({w})) dut (.*);
  initial begin
    for (int at = 0; at < 1 << (2 * {x} + 2 * {w} + 2); at++) begin
      {{x0, x1, w0, w1, weight_shared, side}} = at[2*{x}+2*{w}+1:0];
      wanted0 = weight_shared ? x0 * w0 : (side ? x1 : x0) * w0;
      wanted1 = weight_shared ? x1 * w0 : (side ? x1 : x0) * w1;
      #1;
      done++;
      if (product0 !== wanted0 || product1 !== wanted1) wrong++;
    end
    $display("%0d of %0d wrong", wrong, done);
  end
endmodule
"""


BUGS = {
    "borrow kept": (" + PRODUCT_BITS'(both[PRODUCT_BITS-1])", ""),
    "lower word without sign": ("+ PAIR_BITS'(word0)", "+ PAIR_BITS'({1'b0, word0})"),
    "words of the other lane": ("side ? WIDE_BITS'(x1)", "side ? WIDE_BITS'(x0)"),
    "a product's width less apart": ("<<< PRODUCT_BITS)", "<<< (PRODUCT_BITS - 1))"),
}


def wrong_pairs(x: int, w: int, text: str, folder: Path) -> str:
    """What the bench says of a module with this text, all words of both lanes tried."""
    need("icarus")
    tools = find_tools("icarus")
    module, bench, program = folder / "pair_product.sv", folder / "bench.sv", folder / "sim"
    module.write_text(text, encoding="utf-8")
    bench.write_text(BENCH.format(x=x, w=w), encoding="utf-8")
    build = [*tools["build"], "-g2012", "-o", str(program), str(module), str(bench)]
    subprocess.run(build, check=True, capture_output=True)
    run = [*tools["run"], str(program)]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()


def pair_module() -> str:
    path = next(path for path in simulators.sources() if path.name == "pair_product.sv")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("x", "w"), [(4, 3), (3, 4), (2, 2), (4, 2)])
def test_every_pair_of_products(x: int, w: int, tmp_path: Path) -> None:
    """All words of both lanes, and whatever they share."""
    said = wrong_pairs(x, w, pair_module(), tmp_path)
    assert said == f"0 of {1 << (2 * x + 2 * w + 2)} wrong"


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_of_a_pair_is_found(name: str, tmp_path: Path) -> None:
    text, (old, new) = pair_module(), BUGS[name]
    assert text.count(old) == 1
    assert not wrong_pairs(3, 2, text.replace(old, new), tmp_path).startswith("0 ")
