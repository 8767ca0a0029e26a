"""Compare the simulator with the oracle, word by word, on random graphs and formats.

    python benchmarks/prove_equality.py --words 10000000

Every node of every graph counts, run as a whole clip and cut into chunks and single frames; `words`
counts distinct words, each of which is compared both ways. Prints words and differing words per
kind of node and ends with 1 if any differ.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fxp.console import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the random graphs are the tests'

from tests.equality import prove

app = typer.Typer(add_completion=False)


@app.command()
def main(
    words: Annotated[int, typer.Option(min=1, help="distinct words to compare")] = 10_000_000,
    seed: Annotated[int, typer.Option(help="of graphs and clips")] = 2,
) -> int:
    """Compare the simulator with the oracle."""
    start = time.perf_counter()
    proof = prove(words, seed)
    typer.echo(f"{'node':<14}{'words':>14}{'differing':>12}")
    for kind, count in sorted(proof.words.items()):
        typer.echo(f"{kind:<14}{count:>14,}{proof.differing[kind]:>12,}")
    total, wrong = proof.words.total(), proof.differing.total()
    typer.echo(f"{'all':<14}{total:>14,}{wrong:>12,}")
    seconds = time.perf_counter() - start
    typer.echo(f"{proof.graphs:,} graphs, seed {seed}, {seconds:.0f} s")
    if wrong:
        typer.echo(f"first: {proof.first}")
    return int(wrong > 0)


if __name__ == "__main__":
    run(app)
