"""C headers of bundles: compiled without a warning, every word printed and compared."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fxp.bundle import open_bundle, read_memory
from fxp.c_headers import c_header, c_name
from fxp.golden import write_bundle
from fxp.interop.c_text import c_type
from fxp.ir import Affine, Graph, Input, IntArray, Weights
from fxp.memories import Ground, memories_of
from fxp.memory_files import Form, export_memories
from fxp.qformat import QFormat
from fxp.store import graph_hash
from tests.golden.networks import CASES
from tests.strategies import random_clip, random_graph

GOLDEN = Path(__file__).parent / "golden"
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O0"]


def printed(folder: Path, names: list[str]) -> dict[str, IntArray]:
    """The arrays as a C program that includes `bundle.h` prints them."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on PATH")
    prints = "\n".join(
        f'    for (i = 0; i < sizeof {name} / sizeof *{name}; i++) printf("%" PRId64 "\\n",'
        f' (int64_t){name}[i]);\n    puts("");'
        for name in names
    )
    source = folder / "main.c"
    source.write_text(
        '#include <inttypes.h>\n#include <stdio.h>\n#include "bundle.h"\n#include "bundle.h"\n'
        f"int main(void) {{\n    size_t i;\n{prints}\n    return 0;\n}}\n"
    )
    program = folder / "main"
    subprocess.run(["gcc", *FLAGS, str(source), "-o", str(program)], check=True)
    out = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    blocks = out.split("\n\n")[:-1]
    return {
        name: np.array([int(word) for word in block.split()])
        for name, block in zip(names, blocks, strict=True)
    }


def check_bundle(bundle: Path, out: Path) -> Ground:
    ground, _ = open_bundle(bundle)
    export_memories(bundle, out, [Form.C])
    memories = {c_name(memory, ground.graph): memory for memory in memories_of(ground)}
    assert len(memories) == len(memories_of(ground))
    for name, found in printed(out / "c", list(memories)).items():
        memory = memories[name]
        assert np.array_equal(found, read_memory(bundle / memory.file, memory.layout).ravel())
    return ground


@pytest.mark.parametrize("name", ["ragged", "normed", "shares", "clip"])
def test_every_word_of_committed_bundles(name: str, tmp_path: Path) -> None:
    assert name in CASES
    ground = check_bundle(GOLDEN / name, tmp_path / "out")
    index = (tmp_path / "out/c/bundle.h").read_text()
    assert f"#define BUNDLE_FRAMES {ground.settings.frames}\n" in index
    assert f'#define BUNDLE_GRAPH_HASH "{graph_hash(ground.graph)}"\n' in index


def test_every_word_of_random_graphs(tmp_path: Path) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng)
        clip = random_clip(rng, graph, 3)
        write_bundle(graph, clip, tmp_path / "bundle", lanes=seed + 1)
        check_bundle(tmp_path / "bundle", tmp_path / f"out{seed}")


def test_words_at_the_ends_of_every_type(tmp_path: Path) -> None:
    nodes = [Input("x", 1, 1, QFormat(31, 0))]
    for bits in (8, 9, 16, 17, 31, 32):
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        scale = Weights(np.array([[low]]), bits, (0,))
        nodes.append(Affine(f"a{bits}", "x", scale, np.array([[high << 24]])))
    names = tuple(node.name for node in nodes[1:])
    graph = Graph("g", tuple(nodes), names, 63)
    clip = np.array([-(2**30), 2**30 - 1, 0, -1]).reshape(4, 1, 1)
    write_bundle(graph, clip, tmp_path / "bundle")
    check_bundle(tmp_path / "bundle", tmp_path / "out")


def test_macros_and_types() -> None:
    ground, _ = open_bundle(GOLDEN / "ragged")
    for memory in memories_of(ground):
        raw = read_memory(GOLDEN / "ragged" / memory.file, memory.layout)
        text, name = c_header(memory, ground.graph, raw), c_name(memory, ground.graph)
        macros = dict(re.findall(rf"#define {name.upper()}_(\w+) \(?(-?\d+)\)?\n", text))
        shape = [int(macros[axis.upper()]) for axis in memory.layout.axes]
        assert shape == list(memory.layout.shape)
        assert int(macros["WORDS"]) == raw.size
        assert int(macros["WORD_BITS"]) == memory.layout.word_bits
        assert int(macros["SIGNED"]) == memory.layout.signed
        assert int(macros.get("AFTER_FRAME", -1)) == memory.frame
        if len(memory.frac_bits) == 1:
            assert int(macros["FRAC_BITS"]) == memory.frac_bits[0]
        else:
            fracs = re.search(rf"{name}_frac_bits\[\d+\] = {{([^}}]*)}}", text)
            assert fracs is not None
            assert tuple(int(f) for f in fracs[1].split(",")) == memory.frac_bits
        kind = c_type(memory.layout.word_bits, memory.layout.signed)
        assert f"static const {kind} {name}[{raw.size}]" in text


def test_names_that_differ_in_a_dot_alone(tmp_path: Path) -> None:
    one = Weights(np.array([[1]]), 2, (0,))
    zero = np.array([[0]])
    nodes = (
        Input("a", 1, 1, QFormat(8, 0)),
        Affine("a.b", "a", one, zero),
        Affine("a_b", "a", one, zero),
    )
    write_bundle(Graph("g", nodes, ("a.b", "a_b")), np.zeros((1, 1, 1), int), tmp_path / "bundle")
    check_bundle(tmp_path / "bundle", tmp_path / "out")
