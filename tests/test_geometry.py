import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hw_model.rtl
from fxp.errors import InputError
from hw_model.calibrate.yosys import netlists, yosys_version
from hw_model.dsp import lane_dsps, pair_bits, pair_fits, product_dsps
from hw_model.geometry import Blocks, memory_blocks
from tests.golden import mapping

GOLDEN = json.loads(mapping.FILE.read_text())
WIDTHS = st.integers(1, 200)
DEPTHS = st.integers(1, 70_000)

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed"
)


def short(blocks: Blocks) -> str:
    """As the golden file has it."""
    names = {
        "b18": blocks.bram18,
        "b36": blocks.bram36,
        "e": blocks.ebr,
        "l": blocks.lutram_luts,
        "u": blocks.uram,
    }
    found = [f"{count}{name}" for name, count in names.items() if count]
    return "+".join(found) or "ff"


def ours(setting: str, depth: int, width: int) -> str:
    device, *options = setting.split()
    return short(memory_blocks(depth, width, device, huge="huge" in options))


@pytest.mark.parametrize("setting", mapping.SETTINGS)
def test_memories_take_the_blocks_that_yosys_maps_them_to(setting: str) -> None:
    assert tuple(GOLDEN["widths"]) == mapping.WIDTHS
    rows = GOLDEN["memories"][setting]
    assert tuple(map(int, rows)) == mapping.DEPTHS
    for depth, row in rows.items():
        widths = mapping.points(int(depth))
        assert row.split() == [ours(setting, int(depth), width) for width in widths], depth


def test_shapes_by_hand() -> None:
    assert memory_blocks(1024, 36, "xc7") == Blocks(bram36=1)
    assert memory_blocks(512, 72, "xc7") == Blocks(bram36=1)
    assert memory_blocks(512, 36, "xc7") == Blocks(bram18=1)
    assert memory_blocks(32768, 1, "xc7") == Blocks(bram36=1)
    assert memory_blocks(65536, 1, "xc7") == Blocks(bram36=2)
    assert memory_blocks(4096, 72, "xcup", huge=True) == Blocks(uram=1)
    assert memory_blocks(256, 16, "ice40") == Blocks(ebr=1)
    assert memory_blocks(2048, 2, "ice40") == Blocks(ebr=1)
    assert memory_blocks(32, 6, "xc7") == Blocks(lutram_luts=4)
    assert memory_blocks(64, 7, "xcup") == Blocks(lutram_luts=8)
    assert memory_blocks(4, 2, "ice40") == Blocks(register_bits=8)


def test_blocks_add_up() -> None:
    some = Blocks(bram36=2, bram18=3, lutram_luts=4)
    assert some + some == some * 2
    assert some.bram36_equivalent == 4
    assert (some + some).bram36_equivalent == 7


@given(DEPTHS, WIDTHS, st.sampled_from(("xc7", "xcup", "ice40")))
def test_blocks_hold_every_bit(depth: int, width: int, device: str) -> None:
    blocks = memory_blocks(depth, width, device)  # type: ignore[arg-type]
    held = 36 * 1024 * blocks.bram36 + 18 * 1024 * blocks.bram18 + 4096 * blocks.ebr
    assert held + 64 * blocks.lutram_luts + blocks.register_bits >= depth * width


@pytest.mark.parametrize(("depth", "width"), [(0, 8), (8, 0)])
def test_a_memory_without_words_or_bits_is_refused(depth: int, width: int) -> None:
    with pytest.raises(InputError, match=f"at least one word of one bit, got {depth} x {width}"):
        memory_blocks(depth, width, "xc7")


@pytest.mark.parametrize("device", ["xc7", "xcup"])
def test_products_take_the_dsp_blocks_that_yosys_gives_them(device: str) -> None:
    for a, line in enumerate(GOLDEN["products"][device], start=1):
        for b, digit in enumerate(line, start=1):
            assert product_dsps(a, b, device) == int(digit), (a, b)  # type: ignore[arg-type]
            assert product_dsps(b, a, device) == int(digit), (b, a)  # type: ignore[arg-type]


def test_without_dsp_blocks_there_are_none() -> None:
    assert set("".join(GOLDEN["products"]["xc7 -nodsp"])) == {"0"}


def test_pairs_of_products() -> None:
    assert pair_bits(8, 8) == (25, 8)
    assert pair_bits(4, 8) == pair_bits(8, 4) == (21, 8)
    assert pair_fits(8, 8, "xc7") and pair_fits(8, 8, "xcup")
    assert not pair_fits(9, 8, "xc7") and pair_fits(8, 9, "xcup")
    assert not pair_fits(9, 9, "xcup")
    assert lane_dsps(64, 8, 8, "xc7") == 64
    assert lane_dsps(64, 4, 4, "xc7") == 0
    assert lane_dsps(4, 26, 19, "xc7") == 16


def test_a_product_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InputError, match=r"1\.\.64 bits, got 65 x 4"):
        product_dsps(65, 4, "xc7")


def test_slices_of_wide_products() -> None:
    assert product_dsps(43, 4, "xc7") == 3 and product_dsps(43, 4, "xcup") == 2
    assert product_dsps(42, 22, "xc7") == 4  # 17 and 25 bits, 17 and 5
    assert product_dsps(43, 36, "xc7") == 9
    assert product_dsps(26, 2, "xc7") == 2 and product_dsps(44, 2, "xcup") == 2


WIDE = tuple((a, b) for a in (33, 42, 43, 44, 45, 58, 61, 64) for b in (2, 9, 18, 19, 22, 36, 64))


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("device", ["xc7", "xcup"])
def test_wide_products_take_the_dsp_blocks_that_yosys_gives_them(device: str) -> None:
    text = "".join(
        f"""module p_{a}_{b}(input signed [{a - 1}:0] a, input signed [{b - 1}:0] b,
    output signed [{a + b - 1}:0] y);
  assign y = a * b;
endmodule
"""
        for a, b in WIDE
    )
    commands = ["read_verilog -sv wide.sv", f"synth_xilinx -family {device} -run prepare:coarse"]
    found = netlists({"wide.sv": text}, commands)
    for a, b in WIDE:
        cells = found[f"p_{a}_{b}"].cells
        dsps = sum(count for cell, count in cells.items() if cell.startswith("DSP48"))
        assert product_dsps(a, b, device) == dsps, (a, b)  # type: ignore[arg-type]


UNCLOCKED = {  # what Yosys makes of the memories of a softmax, by joints and bits
    "xc7": {(1, 8): 0, (2, 6): 0, (2, 8): 0, (2, 12): 0, (2, 16): 12, (3, 4): 0, (3, 5): 4}
    | {(4, 4): 4, (6, 8): 8, (6, 19): 16, (25, 12): 8, (32, 8): 8, (33, 7): 12, (50, 10): 16}
    | {(33, 19): 28, (70, 8): 24, (70, 19): 48},
    "xcup": {(1, 8): 0, (2, 6): 0, (2, 8): 0, (2, 10): 8, (2, 16): 16, (3, 4): 0, (3, 5): 8}
    | {(6, 8): 8, (6, 19): 16, (25, 12): 8, (33, 7): 8, (50, 10): 16, (33, 19): 24, (70, 19): 48},
}


@pytest.mark.parametrize("device", ["xc7", "xcup"])
def test_memories_read_without_a_clock(device: str) -> None:
    for (depth, width), luts in UNCLOCKED[device].items():
        found = memory_blocks(depth, width, device, clocked=False)  # type: ignore[arg-type]
        kept = 0 if luts else depth * width
        assert found == Blocks(lutram_luts=luts, register_bits=kept), (depth, width)
    assert memory_blocks(300, 20, "ice40", clocked=False) == Blocks(register_bits=6000)


@needs_yosys
def test_yosys_maps_a_few_memories_and_a_pair_as_the_golden_file_says() -> None:
    assert yosys_version() == GOLDEN["pyosys"]
    widths = (1, 9, 37, 72)
    found = mapping.mapped("xc7", 513, list(widths))
    assert found == {width: ours("xc7", 513, width) for width in widths}


@needs_yosys
@pytest.mark.parametrize(
    ("weight", "operand", "device", "dsps"),
    [(8, 8, "xc7", 1), (4, 8, "xc7", 1), (9, 8, "xc7", 2), (9, 8, "xcup", 1)],
)
def test_yosys_makes_two_products_of_the_engine_in_one_block(
    weight: int, operand: int, device: str, dsps: int
) -> None:
    text = (Path(hw_model.rtl.__file__).parent / "pair_product.sv").read_text()
    top = f"chparam -set W_BITS {weight} -set X_BITS {operand} pair_product"
    commands = ["read_verilog -sv pair.sv", top, "hierarchy -top pair_product"]
    commands += [f"synth_xilinx -family {device} -top pair_product -run prepare:coarse"]
    cells = next(iter(netlists({"pair.sv": text}, commands).values())).cells
    assert sum(n for cell, n in cells.items() if cell.startswith("DSP48")) == dsps
    assert product_dsps(*pair_bits(weight, operand), device) == dsps  # type: ignore[arg-type]


@needs_yosys
def test_an_error_of_yosys_is_one_line() -> None:
    with pytest.raises(InputError, match="Yosys stopped: ERROR"):
        netlists({}, ["read_verilog nowhere.v"])
