"""`.coe` and `.mif` files of committed bundles, read back by parsers of their rules."""

import re
from pathlib import Path

import pytest

from fxp.bundle import open_bundle
from fxp.coe_mif import coe, mif
from fxp.memories import memories_of
from fxp.memory_files import Form, export_memories
from tests.golden.networks import CASES

GOLDEN = Path(__file__).parent / "golden"


def read_coe(text: str) -> list[int]:
    """Keywords without case, values up to a semicolon, what follows on the line a comment."""
    code = re.sub(r";.*", ";", text.replace("\r", ""))
    fields = {
        key.strip().lower(): value
        for key, value in (part.split("=") for part in code.split(";") if part.strip())
    }
    assert list(fields) == ["memory_initialization_radix", "memory_initialization_vector"]
    radix = int(fields["memory_initialization_radix"])
    assert radix in (2, 10, 16)
    return [int(word, radix) for word in fields["memory_initialization_vector"].split(",")]


def read_mif(text: str) -> tuple[int, list[int]]:
    """Width in bits, and the words by address; comments from two dashes, or between percents."""
    code = re.sub(r"%.*?%|--.*", "", text, flags=re.DOTALL if "%" in text else 0)
    head, _, body = code.partition("CONTENT")
    fields = dict(re.findall(r"(\w+)\s*=\s*(\w+)\s*;", head))
    assert list(fields) == ["DEPTH", "WIDTH", "ADDRESS_RADIX", "DATA_RADIX"]
    assert fields["ADDRESS_RADIX"] == fields["DATA_RADIX"] == "HEX"
    inner = re.fullmatch(r"\s*BEGIN(.*)END;\s*", body, re.DOTALL)
    assert inner is not None
    pairs = re.findall(r"\s*(\w+)\s*:\s*(\w+)\s*;", inner[1])
    assert [int(address, 16) for address, _ in pairs] == list(range(int(fields["DEPTH"])))
    return int(fields["WIDTH"]), [int(word, 16) for _, word in pairs]


def test_the_texts() -> None:
    assert coe(["0a", "ff"], "two words") == (
        "; two words\nmemory_initialization_radix=16;\nmemory_initialization_vector=\n0a,\nff;\n"
    )
    assert mif(["a"] * 17, 4, "many").splitlines()[-3:] == ["0f : a;", "10 : a;", "END;"]
    assert read_mif(mif(["a", "3"], 4, "two")) == (4, [10, 3])
    assert read_coe(coe(["7"], "one")) == [7]


@pytest.mark.parametrize("name", CASES)
def test_every_word_of_every_memory(name: str, tmp_path: Path) -> None:
    ground, _ = open_bundle(GOLDEN / name)
    export_memories(GOLDEN / name, tmp_path / "out", [Form.COE, Form.MIF])
    for memory in memories_of(ground):
        lines = (GOLDEN / name / memory.file).read_text().split()
        words = [int(line, 16) for line in lines]
        stem = memory.file.removesuffix(".hex")
        assert read_coe((tmp_path / "out/coe" / f"{stem}.coe").read_text()) == words
        width, found = read_mif((tmp_path / "out/mif" / f"{stem}.mif").read_text())
        assert found == words
        assert width == memory.layout.line_bits
