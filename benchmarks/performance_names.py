"""What rows and groups of rows are called, for those who measure and those who read."""

from __future__ import annotations

OWN = "8 bits"  # the row of the simulator at this width; the others are called alike
MKL, ONEDNN, COMPILED = "torch eager, MKL", "torch eager, oneDNN", "torch.compile"
EAGER = (MKL, ONEDNN)
INT8, INT16, FLOAT32 = "peak int8, vpdpbusd", "peak int16, vpdpwssd", "peak float32, FMA"

SHORT, LONG = "512 frames", "4,096 frames"
MADD, PLAIN, AVX2 = "tier madd16 alone", "tier plain16 alone", "as an AVX2 processor"
FREE, HELD = "torch with all this processor has", "torch held to AVX2 too"
ONE, SHARED, PAIR = "one thread", "one clip, two threads", "two clips, two threads"
FRAME = "one frame at a time"
MSGCN, LONGER, STGCN = "MS-GCN, 512 frames", "MS-GCN, 4,096 frames", "ST-GCN, 300 frames"
NETWORKS = (MSGCN, LONGER, STGCN)
AS_TRAINED, UNFOLDED = "torch, as trained", "torch eager, taps side by side, MKL"
TORCH_CLIPS = (AS_TRAINED, UNFOLDED, ONEDNN)
COLD, WARM = "nothing compiled before", "compiled code on the disk"
PLANNED, FIRST = "compile_graph", "first run"  # among the steps of a new process


def on_two(name: str) -> str:
    """The row of a torch form on two threads."""
    return f"{name}, two threads"


def side_by_side(name: str) -> str:
    """The row of a torch form that goes through two clips, each on a thread of its own."""
    return f"{name}, two clips, two threads"
