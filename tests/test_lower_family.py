"""Every network as integers: close to float, equal to the oracle, golden, its cost countable."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from fxp.calibrate import calibrate, nominal_formats
from fxp.errors import InputError
from fxp.floatnet import FloatNet, load_floatnet, save_floatnet
from fxp.golden import write_bundle
from fxp.ir import Graph, LayerNorm, Requantise, Softmax, lookaheads
from fxp.lower import lower
from fxp.node_tables import exp_tables
from fxp.oracle import evaluate
from fxp.outline import outline, parameter_shapes
from fxp.ranges import certify
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.verify import verify_bundle
from hw_model.accelerator import load_accelerator
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from stgcn_ref.datasets.recognition import PersonWords
from stgcn_ref.export import export
from stgcn_ref.folding import rebuild
from tests.networks import VARIANTS, as_joints, as_read, clip, random_model, small_msgcn

EXAMPLES = Path(__file__).parents[1] / "examples"
every_variant = pytest.mark.parametrize("arch", VARIANTS.values(), ids=VARIANTS)


def exported(arch: ArchSpec, seed: int = 0) -> tuple[FloatNet, PersonWords]:
    """A random network observed on one clip, and the words of that clip as recorded."""
    recording = clip(arch, 90, seed)
    return export(random_model(arch, seed), arch, [recording]), recording.x


def lowered(net: FloatNet, operand_bits: int, stream_bits: int) -> Graph:
    quant = QuantSpec(
        weight_bits=operand_bits,
        activation_bits=operand_bits,
        stream_bits=stream_bits,
        calibrator="max",
    )
    graph = lower(net, calibrate(net, quant))
    certify(graph)
    return graph


@every_variant
def test_many_bits_come_close_to_float(arch: ArchSpec) -> None:
    net, x = exported(arch)
    graph = lowered(net, 16, 20)
    with torch.inference_mode():
        expected = rebuild(net)(as_read(x)).numpy().reshape(arch.classes, -1).T
    found, _ = run(compile_graph(graph), as_joints(x))
    cast = next(n for n in graph.nodes if isinstance(n, Requantise) and n.name == "logits").cast
    logits = np.ldexp(found["logits"][:, :, 0].astype(np.float64), -cast.to.frac_bits)
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() < 3e-3 * np.abs(expected).max()
    assert (found["label"][:, 0, 0] == expected.argmax(axis=1)).mean() > 0.97


@every_variant
def test_simulator_equals_the_oracle_in_every_word(arch: ArchSpec) -> None:
    net, recorded = exported(arch)
    x = as_joints(recorded)[:40]
    graph = lowered(net, 6, 9)
    plan, taps = compile_graph(graph), [node.name for node in graph.nodes]
    found, _ = run(plan, x, taps=taps)
    expected = evaluate(graph, x)
    differing = sum(int((found[name] != np.array(expected[name])).sum()) for name in taps)
    assert found.keys() == set(taps) and differing == 0
    for cuts in ((7, 8, 30), tuple(range(1, 40))):  # some frames at a time, and one by one
        pieces, state = [], None
        for start, stop in pairwise((0, *cuts, 40)):
            piece, state = run(plan, x[start:stop], state, taps, more=stop < 40)
            pieces.append(piece)
        for name in taps:
            joined = np.concatenate([piece[name] for piece in pieces])
            assert np.array_equal(joined, found[name]), name


@pytest.mark.parametrize(
    "name", ["rtstgcn-layernorm", "costgcn-published", "stgcn", "tcn", "msgcn"]
)
def test_golden_bundle(name: str, tmp_path: Path) -> None:
    net, x = exported(VARIANTS[name])
    write_bundle(lowered(net, 6, 9), as_joints(x)[:4], tmp_path / "golden")
    verify_bundle(tmp_path / "golden")


@every_variant
def test_cost(arch: ArchSpec) -> None:
    """Zero weights cost what the trained network's do, on a design that takes its widths."""
    found = estimate(blueprint(arch, QuantSpec()), load_accelerator("pynq-z2"))
    net, _ = exported(arch)
    trained = estimate(lower(net, calibrate(net, QuantSpec())), load_accelerator("pynq-z2"))
    assert found.macs_dense == trained.macs_dense > 0


def test_tables_are_those_of_the_operands_format() -> None:
    net, _ = exported(small_msgcn())
    graph = lowered(net, 8, 12)
    casts = {node.name: node.cast for node in graph.nodes if isinstance(node, Requantise)}
    softmaxes = [node for node in graph.nodes if isinstance(node, Softmax)]
    assert [node.x for node in softmaxes] == ["classifier.q", "stage1.classifier.q"]
    for node in softmaxes:
        assert casts[node.x].to.word_bits == 16  # as wide as logits
        coarse, fine = exp_tables(casts[node.x].to)
        assert np.array_equal(node.coarse, coarse) and np.array_equal(node.fine, fine)


def test_widths_of_streams_and_operands() -> None:
    casts = nominal_formats(small_msgcn(), QuantSpec(stream_bits=12)).casts
    wide = {name for name, cast in casts.items() if cast.to.word_bits == 12}
    assert wide == {
        *("embedding.stream", "block0.add.stream", "block0.tconv.q", "block1.tconv.q"),
        *(f"stage{s}.{x}.stream" for s in (1, 2) for x in ("embedding", "layer0.add")),
        *(f"stage{s}.layer{i}.tconv.q" for s in (1, 2) for i in (0, 1)),
    }


def test_file_of_a_float_network(tmp_path: Path) -> None:
    net, _ = exported(small_msgcn())
    save_floatnet(net, tmp_path / "net.fxp")
    assert load_floatnet(tmp_path / "net.fxp").arch == net.arch


def test_another_refinement_is_refused() -> None:
    model, recording = random_model(small_msgcn()), clip(small_msgcn(), 20, 0)
    with pytest.raises(InputError, match=r"parameter `stage2\.classifier\.bias` is unknown"):
        export(model, small_msgcn(refinements=1), [recording])
    told = (
        r"\(window, dilation, stride\) of the model are \(\(3, 1, 1\), \(3, 2, 1\)\), of the arch"
    )
    with pytest.raises(InputError, match=told):
        export(model, small_msgcn(dilation=(1, 3)), [recording])


def test_cost_of_published_stgcn() -> None:
    arch = load_spec(ArchSpec, EXAMPLES / "kinetics_stgcn.yaml")
    found = estimate(blueprint(arch, QuantSpec()), load_accelerator("pynq-z2"))
    joints, dense, mean, period = 36, 256 * 400, 0.0, 1
    inputs = (3, *arch.channels)
    for c_in, c_out, stride in zip(inputs, arch.channels, arch.stride, strict=False):
        spatial = joints * 3 * c_out * c_in + 3 * c_out * joints**2
        shortcut = c_in * c_out if stride > 1 else 0
        temporal = joints * (9 * c_out * c_out + shortcut)
        dense += spatial + temporal
        mean += spatial / period + temporal / (period * stride)
        period *= stride
    assert found.macs_dense == dense == 115_452_160
    assert found.macs_mean < mean < 1.2 * found.macs_mean  # but for zeros of the adjacency
    assert found.fits


def test_cost_of_the_released_network() -> None:
    arch = load_spec(ArchSpec, EXAMPLES / "hugadb_msgcn.yaml")
    graph = outline(arch)
    assert max(lookaheads(graph).values()) == 4 * 1023
    shapes = parameter_shapes(graph)
    # taps 3: ten graph layers of six joints, thirty refinement layers of one
    weights = {key: np.prod(shape) for key, shape in shapes.items() if key.endswith("conv.weight")}
    assert sum(weights.values()) == 10 * 192 * 64 + 40 * 64 * 64 * 3
    found = estimate(blueprint(arch, QuantSpec(stream_bits=12)), load_accelerator("pynq-z2"))
    static = 6 * (6 * 64 + 10 * 192 * 64) + 10 * 3 * 36 * 64 + 64 * 12 + 3 * 2 * 12 * 64
    assert found.macs_dense == static + (60 + 30) * 64 * 64 * 3


def test_rules_of_an_architecture() -> None:
    assert small_msgcn(window=(3, 3)) == small_msgcn()
    for over, message in (
        ({"channels": (4, 8)}, "`channels` of family msgcn must be 4 in all layers"),
        ({"window": (3, 5)}, "`window` of family msgcn must be 3 in all layers"),
        ({"refinements": -1}, "refinements"),
        ({"family": "costgcn"}, "`refinements` is of family msgcn alone, not of costgcn"),
    ):
        with pytest.raises(ValueError, match=message):
            small_msgcn(**over)


def test_widths_of_layer_norm() -> None:
    arch = VARIANTS["rtstgcn-layernorm"]

    def widths(**over: int) -> set[tuple[str, int]]:
        casts = nominal_formats(arch, QuantSpec.model_validate(over)).casts
        return {
            (name.partition(".")[2], cast.to.word_bits)
            for name, cast in casts.items()
            if name.startswith("block1.")
        }

    wide = {"sum.q", "norm.unit.q", "residual.q", "residual_norm.unit.q"}
    for over, bits in (
        ({}, 12),
        ({"activation_bits": 16}, 16),
        ({"layer_norm_bits": 9}, 9),
    ):
        narrow = over.get("activation_bits", 8)
        found = widths(**over)
        assert {name for name, width in found if width == bits} >= wide
        assert {name for name, width in found if width == narrow} >= {"conv.q", "norm.q", "add.q"}


def test_a_layer_norm_of_quiet_words_keeps_its_epsilon_in_bounds() -> None:
    """Words near zero do not ask for an epsilon beyond 62 bits."""
    net, _ = exported(VARIANTS["rtstgcn-layernorm"])
    quiet = {
        name: replace(seen, lo=seen.lo * 1e-6, hi=seen.hi * 1e-6, sample=seen.sample * 1e-6)
        if name.endswith(".sum")
        else seen
        for name, seen in net.observations.items()
    }
    graph = lowered(replace(net, observations=quiet), 16, 16)
    casts = {node.name: node.cast.to for node in graph.nodes if isinstance(node, Requantise)}
    norms = {node.name: node for node in graph.nodes if isinstance(node, LayerNorm)}
    assert casts["block0.sum.q"].frac_bits == 20
    (epsilon,) = norms["block0.norm.unit"].epsilon  # 24 words, unbiased
    assert epsilon == round(1e-5 * 24 * 23 * 2**40)


def test_layer_norms_of_another_epsilon_are_refused() -> None:
    arch = VARIANTS["rtstgcn-layernorm"]
    model = random_model(arch)
    model.blocks[1].norm.eps = 1e-3
    with pytest.raises(InputError, match=r"block1\.norm: epsilon must be 1e-05, got 0\.001"):
        export(model, arch, [clip(arch, 20, 0)])


def test_clips_of_another_kind_are_refused() -> None:
    stgcn, frames = VARIANTS["stgcn"], VARIANTS["rtstgcn"]
    for arch, other, message in (
        (stgcn, frames, r"\(stgcn\) gives one label a clip of 2 persons, it has one label a frame"),
        (frames, stgcn, r"\(rtstgcn\) gives one label a frame, it has one label a clip of 2 pers"),
        (VARIANTS["stgcn-one"], stgcn, r"a clip of 1 persons, it has one label a clip of 2 pers"),
    ):
        with pytest.raises(InputError, match=message):
            export(random_model(arch), arch, [clip(other, 20, 0)])


def test_a_clip_that_is_too_long() -> None:
    net, x = exported(VARIANTS["stgcn"])
    plan = compile_graph(lowered(net, 8, 8))
    longest = np.zeros((1024, *as_joints(x).shape[1:]), np.int64)
    run(plan, longest)
    with pytest.raises(InputError, match="at most 1024 frames"):
        run(plan, np.concatenate([longest, longest[:1]]))
