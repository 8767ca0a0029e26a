"""The published RT-ST-GCN on the RTL engine: its cycles beside the estimate's and naive counts.

    python -m benchmarks.bench_rtl [--lanes 8,64] [--paired] [--frames 2]

The network of the cost model's page (PKU-MMD, 25 joints, window 9) with synthetic constants
(random words, seed 0; cycles do not depend on them) runs in Verilator; every word and cycle is
compared. With `--paired` two lanes share a multiplier. The naive count is multiply-accumulates
divided by lanes: with the published 20.1 M, with the products of a dense and of a sparse adjacency.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from fxp.ir import Affine, Conv, Graph, GraphProduct, IntArray, Node, Weights
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from hw_model.ledger import published_arch
from hw_model.rtl.bench_files import bench_files
from hw_model.rtl.design import design_of
from hw_model.rtl.expected import wanted_values
from hw_model.rtl.prediction import bare_engine
from hw_model.rtl.simulators import build, sources
from hw_model.rtl.simulators import run as run_bench
from hw_model.rtl.timing import clip_timing

PUBLISHED_MACS = 20_099_914  # docs/cost-model.md, the torchinfo convention
SEED = 0


def main() -> None:
    """Run the network at each number of lanes and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lanes", default="8,64")
    parser.add_argument("--paired", action="store_true")
    parser.add_argument("--frames", type=int, default=2)
    chosen = parser.parse_args()
    graph = synthetic(blueprint(published_arch("rtstgcn", 9), QuantSpec()))
    table = Table("lanes", title="RT-ST-GCN, PKU-MMD, window 9, one frame (synthetic constants)")
    for heading in ("simulated", "estimate", "published MACs / lanes", "dense", "sparse", "words"):
        table.add_column(heading, justify="right")
    for lanes in map(int, chosen.lanes.split(",")):
        cycles, words = simulated(graph, lanes, chosen.frames, chosen.paired)
        cost = estimate(graph, bare_engine(lanes, dense=False, paired=chosen.paired))
        naive = (PUBLISHED_MACS, cost.macs_dense, cost.macs_sparse)
        table.add_row(
            str(lanes),
            f"{cycles:,}",
            beside(cost.interval_cycles, cycles),
            *(beside(round(macs / lanes), cycles) for macs in naive),
            f"{words:,} equal",
        )
    Console().print(table)


def beside(count: int, cycles: int) -> str:
    """A count and how far it is from the cycles."""
    return f"{count:,} ({count / cycles - 1:+.2%})"


def simulated(graph: Graph, lanes: int, frames: int, paired: bool) -> tuple[int, int]:
    """Cycles of the last frame in Verilator, and how many words were compared."""
    design = design_of(graph, lanes, paired=paired)
    first = graph.nodes[0]
    rng = np.random.default_rng(SEED)
    clip = rng.integers(-(1 << 15), 1 << 15, (frames, first.channels, first.joints))
    values, _ = run(compile_graph(graph), clip, taps=wanted_values(design))
    files = bench_files(design, clip, values, SEED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.files.items():
            (folder / file).write_bytes(text)
        result = run_bench(build("verilator", sources(), folder, cache=folder / "built"), folder)
    if not result.passed:
        raise SystemExit(result.log)
    timing = clip_timing(design, frames)  # the bench has asserted each of them
    words = sum(lines.words.size for lines in files.ports.values())
    return timing[-1].ends - timing[-1].begins, words


def synthetic(graph: Graph) -> Graph:
    """The graph with random words in place of its constants; an adjacency keeps its zeros."""
    rng = np.random.default_rng(SEED)

    def words(weights: Weights, keep: IntArray | bool = True) -> Weights:
        high = 1 << (weights.word_bits - 1)
        raw = rng.integers(-high, high, weights.raw.shape)
        return dataclasses.replace(weights, raw=np.where(raw == 0, 1, raw) * keep)

    def filled(node: Node) -> Node:
        match node:
            case Conv():
                return dataclasses.replace(node, weight=words(node.weight))
            case GraphProduct():
                adjacency = node.adjacency
                return dataclasses.replace(node, adjacency=words(adjacency, adjacency.raw != 0))
            case Affine() if node.scale.raw.shape[1] > 1:
                return dataclasses.replace(node, scale=words(node.scale))
            case _:
                return node

    return dataclasses.replace(graph, nodes=tuple(filled(node) for node in graph.nodes))


if __name__ == "__main__":
    main()
