"""The MS-GCN that its authors released for HuGaDB: their logits, their accuracy, frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fxp.calibrate import calibrate
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.ranges import certify
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, load_spec
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.export import export
from stgcn_ref.metrics import score
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.temporal import stream
from stgcn_ref.networks import open_network, standard_widths
from stgcn_ref.published import load
from stgcn_ref.scoring import predict_integers

EXAMPLE = Path(__file__).parents[1] / "examples" / "hugadb_msgcn.yaml"

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoints(hugadb_root: Path) -> Path:
    """The folder of the released networks, beside that of the recordings."""
    folder = hugadb_root.parents[1] / "checkpoints"
    if not folder.is_dir():
        pytest.skip(f"no released networks at {folder}")
    return folder


@pytest.mark.hugadb
def test_released_msgcn_on_hugadb(hugadb_root: Path, checkpoints: Path) -> None:
    net = load(checkpoints / "msgcn_hugadb.model", "msgcn", "hugadb-msgcn")
    assert isinstance(net, MSGCN)
    assert sum(value.numel() for value in net.parameters()) == 632_496
    assert (net.latency_frames, net.receptive_field) == (4092, 8185)
    text = hugadb_root / "HuGaDB_v2_various_01_00.txt"
    clip = load_hugadb(text, ids="original").clips[0]
    with torch.inference_mode():
        x = torch.from_numpy(clip.x).permute(1, 0, 2)[None]
        found = net(x, all_stages=True)[:, 0].numpy()
    with np.load(checkpoints / "msgcn_hugadb_various_01_00_logits.npz") as file:
        theirs = file["logits"]
    for stage, logits in zip(found, theirs, strict=True):
        assert np.abs(stage - logits).max() <= 1e-5 * np.abs(logits).max()
    assert (found.argmax(axis=1) == theirs.argmax(axis=1)).all()


@pytest.mark.hugadb
def test_released_msgcn_frame_by_frame(hugadb_root: Path, checkpoints: Path) -> None:
    net = load(checkpoints / "msgcn_hugadb.model", "msgcn")
    text = hugadb_root / "HuGaDB_v2_various_01_00.txt"
    words = load_hugadb(text, ids="original").clips[0].x[1000:1200]
    x = torch.from_numpy(words).permute(1, 0, 2)[None]
    with torch.inference_mode():
        batch, live = net(x), stream(net, x)  # 4092 frames late, the clip being over long before
    assert live.shape == batch.shape == (1, 12, 200)
    assert (live - batch).abs().max() <= 1e-5 * batch.abs().max()


@pytest.mark.hugadb
@pytest.mark.parametrize(("name", "accuracy"), [("various_01_00", 97.1), ("various_01_01", 96.2)])
def test_released_msgcn_accuracy(
    hugadb_root: Path, checkpoints: Path, name: str, accuracy: float
) -> None:
    net = load(checkpoints / "msgcn_hugadb.model", "msgcn", "hugadb-msgcn")
    clips = load_hugadb(hugadb_root / "various", subjects=[1], ids="original").clips
    clip = next(clip for clip in clips if clip.name == name)
    with torch.inference_mode():
        logits = net(torch.from_numpy(clip.x).permute(1, 0, 2)[None])
    scores = score([logits[0].argmax(dim=0).numpy()], [clip.labels])
    assert round(scores.frame_accuracy, 1) == accuracy


@pytest.mark.hugadb
def test_released_msgcn_in_integers(hugadb_root: Path, checkpoints: Path) -> None:
    """Operands of 8 bits on streams of 12: labels as float's, and the oracle's word for word."""
    opened = open_network(checkpoints / "msgcn_hugadb.model", "msgcn")
    assert opened.arch == load_spec(ArchSpec, EXAMPLE)
    assert isinstance(opened.net, MSGCN)
    ds = opened.fitted(load_hugadb(hugadb_root, subjects=[1], ids="original"))
    net = export(opened.net, opened.arch, ds.clips[2:5])
    graph = lower(net, calibrate(net, standard_widths(opened, 8)))
    assert max(certify(graph).values()) <= 27
    first = replace(ds, clips=ds.clips[:1])
    float_, integer = opened.predict(first)[0], predict_integers(graph, first)[0]
    assert (float_ == integer).mean() >= 0.99

    words, taps = ds.clips[0].x[2400:2412], [node.name for node in graph.nodes]
    found, _ = run(compile_graph(graph), words, taps=taps)
    expected = evaluate(graph, words)
    assert sum(int((found[name] != np.array(expected[name])).sum()) for name in taps) == 0
