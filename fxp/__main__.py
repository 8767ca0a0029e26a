"""Commands on integer networks and golden bundles: `python -m fxp --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.certify_command import certify_command
from fxp.clip_files import read_clip
from fxp.console import run as run_app
from fxp.diff_command import diff_command
from fxp.errors import InputError
from fxp.explain_command import explain_command
from fxp.golden import file_sha256, write_bundle
from fxp.interop.command import export, portability
from fxp.ir import Node, lookaheads, operands
from fxp.memories import Ground, ground_of, settings_for
from fxp.memories_command import export_memories_command
from fxp.node_fields import kind_of
from fxp.profile_command import profile_command
from fxp.ranges import is_sum
from fxp.simulate import compile_graph
from fxp.simulate import run as simulate
from fxp.store import graph_hash, load_graph, node_hash, save_arrays
from fxp.stress_command import stress_command
from fxp.tables import print_table
from fxp.verify import verify_bundle

OUTPUTS_KIND = "fxp-outputs"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
app.command("profile")(profile_command)
app.command("diff")(diff_command)
app.command("certify")(certify_command)
app.command("explain")(explain_command)
app.command("stress")(stress_command)
app.command()(export)
app.command("export-memories")(export_memories_command)
app.command()(portability)

Net = Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")]
Clip = Annotated[
    Path,
    typer.Argument(metavar="CLIP.npy", help="Input words, integers (T, C, V)."),
]


@app.command()
def info(net: Net) -> None:
    """Show the nodes of a network, and the hash of what it computes."""
    graph = load_graph(net)
    ground = ground_of(graph, settings_for(graph, frames=1))
    columns = ("node", "kind", "reads", "shape", "word", "frac_bits", "accumulator_bits", "hash")
    print_table(columns, [_row(node, ground) for node in graph.nodes])
    frames = max(lookaheads(graph)[name] for name in graph.outputs)
    typer.echo(f"name {graph.name}")
    typer.echo(f"outputs {' '.join(graph.outputs)}")
    typer.echo(f"accumulator_bits {graph.accumulator_bits}")
    typer.echo(f"latency_frames {frames}")
    typer.echo(f"hash {graph_hash(graph)}")


@app.command()
def run(
    net: Net,
    clip: Clip,
    out: Annotated[Path, typer.Option(help="File of the outputs; `numpy.load` reads it as .npz.")],
) -> None:
    """Simulate a clip and write the network's outputs, (frames, channels, joints) each."""
    graph = load_graph(net)
    results, _ = simulate(compile_graph(graph), read_clip(clip, graph))
    header = {
        "kind": OUTPUTS_KIND,
        "graph_hash": graph_hash(graph),
        "clip": clip.name,
        "clip_sha256": file_sha256(clip),
    }
    save_arrays(out, header, results)
    rows = [
        (name, "x".join(map(str, raw.shape)), int(raw.min()), int(raw.max()))
        for name, raw in results.items()
    ]
    print_table(("output", "shape", "lowest", "highest"), rows)


@app.command()
def golden(
    net: Net,
    clip: Clip,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; new, empty, or a bundle.")],
    lanes: Annotated[int, typer.Option(help="Channels packed into one memory word.")] = 1,
    frames: Annotated[int | None, typer.Option(help="Only the first frames of the clip.")] = None,
    tap: Annotated[
        list[str] | None, typer.Option(help="Node to write the values of (repeat; default: all).")
    ] = None,
    snapshot: Annotated[
        list[int] | None,
        typer.Option(help="Frame to write the state after (repeat; default: first, mid, last)."),
    ] = None,
    note: Annotated[str, typer.Option(help="Text kept as the bundle's provenance.")] = "",
) -> None:
    """Write golden vectors of a clip: weights, stimulus, every value, state, manifest."""
    graph = load_graph(net)
    words = read_clip(clip, graph)
    if frames is not None and not 1 <= frames <= len(words):
        raise InputError(f"{clip}: `--frames` must be 1..{len(words)}, got {frames}")
    provenance = {
        "network": net.name,
        "clip": clip.name,
        "clip_sha256": file_sha256(clip),
        "clip_frames": [0, frames or len(words)],
        "note": note,
    }
    manifest = write_bundle(
        graph,
        words[:frames],
        out,
        lanes=lanes,
        taps=tap,
        snapshots=snapshot,
        provenance=provenance,
    )
    total = sum(entry["words"] for entry in manifest["files"])
    typer.echo(
        f"{out}: {len(manifest['files']) + 2} files, {total} words, {len(words[:frames])} "
        f"frames, graph {manifest['graph']['hash'][:12]}"
    )


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a golden bundle.")],
    oracle: Annotated[
        bool | None,
        typer.Option("--oracle/--no-oracle", help="Run the slow oracle too (default: if small)."),
    ] = None,
) -> None:
    """Check a golden bundle: every hash, count and digit, then every word against a new run.

    Exit code 0 if all is right, 1 if a word differs, 2 if the bundle is damaged.
    """
    result = verify_bundle(bundle, oracle)
    if result.mismatches:
        for mismatch in result.mismatches:
            typer.echo(f"{bundle}: {mismatch}")
        raise typer.Exit(1)
    engines = " and the ".join(result.engines)
    typer.echo(f"{bundle}: {result.files} files, {result.words} words: all right by the {engines}")


def _row(node: Node, ground: Ground) -> tuple[object, ...]:
    signal, (word_bits, signed) = ground.signals[node.name], ground.formats[node.name]
    low, high = min(signal.frac_bits), max(signal.frac_bits)
    return (
        node.name,
        kind_of(node),
        " ".join(operands(node)),
        f"{signal.channels}x{signal.joints}",
        f"{'s' if signed else 'u'}{word_bits}",
        low if low == high else f"{low}..{high}",
        ground.widths[node.name] if is_sum(node) else "",
        node_hash(node)[:12],
    )


if __name__ == "__main__":
    run_app(app)
