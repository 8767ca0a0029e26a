"""The C network, compiled without a warning: every word of every node, tolerance 0."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.interop.c_source import FILES, c_files, export_c
from fxp.interop.runners import COMPILERS, run_c
from fxp.ir import Conv, Graph, Input, LayerNorm, TemporalSum, Weights
from fxp.qformat import QFormat
from fxp.store import graph_hash
from tests.foreign import (
    Case,
    differing,
    family_cases,
    golden_cases,
    random_cases,
)

if not any(shutil.which(name) for name in COMPILERS):
    pytest.skip("no C compiler on PATH", allow_module_level=True)


def compiler() -> str:
    return next(name for name in COMPILERS if shutil.which(name))


@pytest.mark.parametrize("case", golden_cases() + family_cases(frames=25), ids=lambda c: c.name)
def test_every_word(case: Case, tmp_path: Path) -> None:
    export_c(case.graph, tmp_path / "c")
    assert differing(case, run_c(tmp_path / "c", case.graph, case.clip, ["-O0"])) == {}


def test_every_word_of_random_graphs(tmp_path: Path) -> None:
    for case in random_cases(4, seed=21):
        export_c(case.graph, tmp_path / "c")
        assert differing(case, run_c(tmp_path / "c", case.graph, case.clip, ["-O0"])) == {}, (
            case.name
        )


@pytest.mark.slow
def test_every_word_of_many_random_graphs_without_undefined_behaviour(tmp_path: Path) -> None:
    flags = ("-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    for case in random_cases(200, seed=22):
        export_c(case.graph, tmp_path / "c")
        assert differing(case, run_c(tmp_path / "c", case.graph, case.clip, flags)) == {}, case.name


def test_a_clip_that_is_too_long_is_refused(tmp_path: Path) -> None:
    case = golden_cases(["clip"])[0]
    export_c(case.graph, tmp_path / "c")
    program = tmp_path / "network"
    sources = ["network.c", "main.c"]
    subprocess.run([compiler(), *sources, "-o", program], cwd=tmp_path / "c", check=True)
    longest = 600  # a mean of at most 300 frames behind a stride of 2
    for frames, code in ((longest, 0), (longest + 1, 1)):
        words = np.zeros((frames, *case.clip.shape[1:]), np.int64).tobytes()
        done = subprocess.run([program], input=words, capture_output=True, check=False)
        assert done.returncode == code
    assert done.stderr == b"the clip is too long\n"
    assert subprocess.run([program], input=b"", capture_output=True, check=True).stdout == b""


def test_the_header_tells_the_formats(tmp_path: Path) -> None:
    graph = golden_cases(["dilated"])[0].graph
    text = c_files(graph)["network.h"]
    assert f'#define NET_HASH "{graph_hash(graph)}"' in text
    for line in (
        "#define NET_INPUT_CHANNELS 3",
        "#define NET_N7_BLOCK0_CONV_Q_WORD_BITS 8",
        "#define NET_N7_BLOCK0_CONV_Q_FRAC_BITS 4",
        "#define NET_N12_BLOCK0_NORM_Q_SIGNED 0",
        "    int8_t n10_block0_sum_fifo[6][12];",
        "    uint16_t n12_block0_norm_q[12];",
    ):
        assert line in text.splitlines()
    source = tmp_path / "use.c"
    source.write_text(text + '\n_Static_assert(NET_NODES == 20 && NET_OUTPUTS == 2, "");\n')
    subprocess.run([compiler(), "-fsyntax-only", source], check=True)


def test_names_that_differ_in_a_dot_alone(tmp_path: Path) -> None:
    one = Weights(np.array([[3]]), 4, (0,))
    nodes = (
        Input("a", 1, 1, QFormat(8, 0)),
        Conv("b.c", "a", one, np.array([1])),
        TemporalSum("b_c", "b.c", 2),
    )
    case = Case("dots", Graph('names \\ */ "?', nodes, ("b.c", "b_c")), np.array([[[5]], [[-7]]]))
    export_c(case.graph, tmp_path / "c")
    assert differing(case, run_c(tmp_path / "c", case.graph, case.clip)) == {}


def test_tables_of_small_numbers(tmp_path: Path) -> None:
    """Any table is a table, also one whose entries would fit narrower words."""
    norm = LayerNorm("y", "x", np.array([0]), np.ones(3, np.int64), 0, 18)
    graph = Graph("ones", (Input("x", 2, 2, QFormat(4, 0)), norm), ("y",))
    case = Case("ones", graph, np.array([[[1, -8], [7, 0]], [[3, 3], [3, 3]]]))
    export_c(graph, tmp_path / "c")
    assert differing(case, run_c(tmp_path / "c", graph, case.clip)) == {}


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    graph = golden_cases(["narrow"])[0].graph
    export_c(graph, tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(FILES)
    export_c(graph, tmp_path / "c")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt, hence not replaced"):
        export_c(graph, tmp_path / "c")
    with pytest.raises(InputError, match="is there and no folder"):
        export_c(graph, tmp_path / "c" / "notes.txt")
    assert (tmp_path / "c" / "notes.txt").read_text() == "mine"
