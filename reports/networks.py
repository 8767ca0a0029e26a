"""The figures of docs/networks.md: the networks they show, and the files they are written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from fxp.errors import InputError
from fxp.spec import ArchSpec
from reports.block_figure import draw_blocks
from reports.network_layout import Networks, network
from reports.shape_figure import draw_shapes
from reports.sheets import save_png
from reports.skeleton_figure import draw_skeletons
from reports.skeleton_layout import Skeletons, skeletons
from reports.time_figures import draw_reach, draw_running_sum
from reports.time_layout import Reaches, RunningSum, running_sum, span, tree

CLIP_FRAMES = 300
CHOSEN = {"pkummd": 0, "hugadb": 3}  # joints with neighbours in all three partitions
BLOCKS = ("block1", "block1", "block2")  # with the identity around them; MS-GCN's has dilation 4
SUM_VALUES = (3, 1, 4, 1, 5, 9, 2, 6, 5)
CHANNELS = (64, 64, 64, 128, 128, 128, 256, 256, 256)
DOUBLING = tuple(2**i for i in range(10))

RTSTGCN = ArchSpec(
    skeleton="pkummd", in_channels=3, embedding=64, channels=CHANNELS, window=(9,), classes=52
)
STGCN = ArchSpec(  # one label a clip, as published
    family="stgcn",
    skeleton="pkummd",
    in_channels=3,
    channels=(64, *CHANNELS),
    window=(9,),
    stride=(1, 1, 1, 1, 2, 1, 1, 2, 1, 1),
    classes=52,
)
COSTGCN = RTSTGCN.model_copy(update={"family": "costgcn"})
MSGCN = ArchSpec(
    family="msgcn",
    skeleton="pkummd",
    in_channels=3,
    embedding=64,
    channels=(64,) * 10,
    window=(3,),
    dilation=DOUBLING,
    refinements=3,
    classes=52,
)


@dataclass(frozen=True)
class NetworkFigures:
    """The data of each figure, under the name of its file."""

    skeleton_partitions: Skeletons
    block_stgcn_vs_rtstgcn: Networks
    temporal_reach: Reaches
    shapes_batch_realtime: Networks
    running_sum: RunningSum


def network_figures() -> NetworkFigures:
    """What the figures show, computed from the toolkit's own objects."""
    rtstgcn, costgcn, msgcn = (
        network(title, arch, CLIP_FRAMES)
        for title, arch in (
            ("RT-ST-GCN", RTSTGCN),
            ("CoST-GCN: ST-GCN frame by frame", COSTGCN),
            ("MS-GCN", MSGCN),
        )
    )
    return NetworkFigures(
        skeletons(CHOSEN),
        Networks((rtstgcn, costgcn, msgcn)),
        _reaches(),
        Networks((rtstgcn, network("ST-GCN: one label a clip", STGCN, CLIP_FRAMES))),
        running_sum(SUM_VALUES, window=3, dilation=2),
    )


def _reaches() -> Reaches:
    """Three layers of three taps as trees, the networks of published size in numbers."""
    trees = (
        tree("RT-ST-GCN: causal windows", _small("rtstgcn", (1, 1, 1))),
        tree("CoST-GCN: taps on both sides", _small("costgcn", (1, 1, 1))),
        tree("MS-GCN: dilations that double", _small("msgcn", (1, 2, 4))),
    )
    spans = (
        span("RT-ST-GCN", RTSTGCN),
        span("RT-ST-GCN, wide window", RTSTGCN.model_copy(update={"window": (69,) * 9})),
        span("CoST-GCN", COSTGCN),
        span("ST-GCN, without pooling", STGCN),
        span("MS-GCN, first stage", MSGCN.model_copy(update={"refinements": 0})),
        span("MS-GCN, all four stages", MSGCN),
    )
    return Reaches(trees, spans)


def _small(family: Literal["rtstgcn", "costgcn", "msgcn"], dilation: tuple[int, ...]) -> ArchSpec:
    """A network that has only its windows in common with the published ones."""
    return ArchSpec(
        family=family,
        skeleton="hugadb",
        in_channels=3,
        embedding=8,
        channels=(8,) * len(dilation),
        window=(3,),
        dilation=dilation,
        classes=2,
    )


def draw_network_figures(data: NetworkFigures) -> dict[str, Figure]:
    """The figures, by the names of their data."""
    return {
        "skeleton_partitions": draw_skeletons(data.skeleton_partitions),
        "block_stgcn_vs_rtstgcn": draw_blocks(data.block_stgcn_vs_rtstgcn, BLOCKS),
        "temporal_reach": draw_reach(data.temporal_reach),
        "shapes_batch_realtime": draw_shapes(data.shapes_batch_realtime),
        "running_sum": draw_running_sum(data.running_sum),
    }


def write_network_figures(directory: Path) -> list[Path]:
    """Draw every figure into a directory, which is made if it is missing.

    Returns:
        The PNG files written.

    Raises:
        InputError: the directory cannot be made, or a file not be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: cannot be made ({error.strerror or error})") from None
    data = network_figures()
    written = []
    for name, figure in draw_network_figures(data).items():
        written.append(directory / f"{name}.png")
        save_png(figure, written[-1], getattr(data, name))
    return written
