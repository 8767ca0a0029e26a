from pathlib import Path

import pytest
import yaml

from fxp.errors import InputError
from hw_model.accelerator import Lanes, energy_tables, load_accelerator, preset_names
from tests.accelerators import machine


def write(path: Path, **changes: object) -> Path:
    """A YAML file of the small preset with top-level keys changed (None drops one)."""
    data = load_accelerator("pynq-z2").model_dump(mode="json") | changes
    path.write_text(
        yaml.safe_dump({key: value for key, value in data.items() if value is not None})
    )
    return path


def test_presets_are_named_after_their_files_and_cite_their_sources() -> None:
    assert preset_names() == ("array-8x8-16b", "pynq-z2", "xc7z020-rtl", "zu7ev", "zu7ev-rtl")
    for name in preset_names():
        accelerator = load_accelerator(name)
        assert accelerator.name == name
        assert len(accelerator.source) > 100 and "Horowitz" in accelerator.energy.source
        assert "45 nm" in accelerator.energy.process and "V" in accelerator.energy.process


def test_energy_tables_by_name_state_process_and_source(tmp_path: Path) -> None:
    assert energy_tables() == ("horowitz-45nm", "jouppi-7nm")
    named = load_accelerator(write(tmp_path / "a.yaml", energy="jouppi-7nm")).energy
    assert "ISCA 2021" in named.source and "7 nm" in named.process
    assert named.multiply_pj == ((8, 0.07), (32, 1.48)) and named.add_pj == ((8, 0.007), (32, 0.03))
    assert [round(64 * pj, 6) for _, pj in named.sram_pj_per_bit] == [7.5, 8.5, 14]
    older = load_accelerator("pynq-z2").energy
    for table in ("multiply_pj", "add_pj", "sram_pj_per_bit"):
        pairs = zip(getattr(named, table), getattr(older, table), strict=True)
        assert all(a[0] == b[0] and a[1] < b[1] for a, b in pairs)
    with pytest.raises(InputError, match="key `energy`: must be a table, or the name of one: horo"):
        load_accelerator(write(tmp_path / "b.yaml", energy="nowhere"))


def test_preset_figures() -> None:
    small, large = load_accelerator("pynq-z2"), load_accelerator("zu7ev")
    assert small.memory.capacity_bits == 140 * 36_864
    assert large.memory.capacity_bits == 312 * 36_864 + 96 * 294_912
    assert small.dram is not None and small.dram.bytes_per_s == 1050e6 * 16 / 8
    assert large.dram is not None and large.dram.bytes_per_s == 2400e6 * 64 / 8
    assert (small.resources.dsps, large.resources.dsps) == (220, 1728)
    for accelerator in (small, large):
        assert isinstance(accelerator.engine, Lanes) and accelerator.resources.dsps is not None
        assert accelerator.engine.lanes <= accelerator.resources.dsps
        # Horowitz: 64-bit reads of 8 KB, 32 KB, 1 MB take 10, 20, 100 pJ
        assert accelerator.energy.sram_pj_per_bit == (
            (8 * 1024, 10 / 64),
            (32 * 1024, 20 / 64),
            (1024 * 1024, 100 / 64),
        )


def test_packing() -> None:
    large = load_accelerator("zu7ev").multiplier
    assert [large.products(bits, 8) for bits in (4, 8, 9)] == [2, 2, 1]
    assert [large.products(8, bits) for bits in (4, 8, 9)] == [2, 2, 1]
    assert load_accelerator("array-8x8-16b").multiplier.products(2, 2) == 1


def test_unknown_preset() -> None:
    with pytest.raises(InputError, match=r"unknown accelerator 'zynq', allowed: array-8x8-16b, py"):
        load_accelerator("zynq")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        load_accelerator(tmp_path / "none.yaml")


def test_a_file_reads_back(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", name="mine", deadline_s=0.02)
    found = load_accelerator(path)
    assert found.name == "mine" and found.deadline_s == 0.02
    assert found.energy == load_accelerator("pynq-z2").energy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, r"bad\.yaml: key `lanes` is unknown"),
        ({"clock_hz": 0}, r"bad\.yaml: key `clock_hz`: .*greater than 0"),
        ({"clock_hz": float("inf")}, r"bad\.yaml: key `clock_hz`: .*finite"),
        ({"dram": {"bytes_per_s": float("nan")}}, r"bad\.yaml: key `dram\.bytes_per_s`"),
        ({"source": ""}, r"bad\.yaml: key `source`"),
        ({"energy": None}, r"bad\.yaml: key `energy`: Field required"),
        ({"engine": {"kind": "lanes", "lanes": 0}}, r"bad\.yaml: key `engine\.lanes\.lanes`"),
        ({"engine": {"kind": "ring"}}, r"bad\.yaml: key `engine`.*'lanes', 'array'"),
        ({"adjacency": "some"}, r"bad\.yaml: key `adjacency`.*'dense' or 'sparse'"),
        (
            {"engine": {"kind": "array", "rows": 8, "cols": 8}},
            r"`adjacency` must be dense on an array engine",
        ),
        (
            {"engine": {"kind": "array", "rows": 8, "cols": 8}, "adjacency": "dense"},
            r"`multiplier\.packing` needs a lanes engine",
        ),
        (
            {
                "memory": {
                    "capacity_bits": 8,
                    "ports": 1,
                    "port_bits": 1,
                    "stream_buffer_bits": 9,
                }
            },
            r"`memory\.stream_buffer_bits` must not exceed",
        ),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_accelerator(write(tmp_path / "bad.yaml", **changes))


@pytest.mark.parametrize("table", [{8: 0.2, 16: 0.1}, {}, {8: 0.0}, {0: 1.0}])
def test_energy_tables_are_monotone_and_positive(table: dict[int, float]) -> None:
    energy = machine().energy.model_dump() | {"multiply_pj": table}
    with pytest.raises(ValueError, match=r"multiply_pj"):
        machine(energy=energy)
