"""The nodes, constants and outputs of an ONNX model while it grows; `onnx` is loaded here only."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.files import replacing
from fxp.golden import tool_version
from fxp.ir import Graph
from fxp.store import graph_hash

OPSET = 21  # the first with 16-bit QuantizeLinear
IR_VERSION = 10  # that of opset 21: older runtimes refuse newer ones
QONNX_DOMAIN = "qonnx.custom_op.general"

Array = npt.NDArray[Any]
Attributes = Mapping[str, Any]  # int, float, str, or a sequence of int


def load_onnx() -> ModuleType:
    """The package `onnx`.

    Raises:
        InputError: it is not installed.
    """
    try:
        importlib.import_module("onnx.helper")
        return importlib.import_module("onnx")
    except ImportError:
        raise InputError(
            "ONNX export needs the package `onnx`: pip install 'stgcn-codesign[onnx]'"
        ) from None


class OnnxBuilder:
    """An ONNX graph under construction; every method that adds something returns its name.

    Values keep the names of the network's nodes; what is added besides has a `/` in its name, which
    none of those has.
    """

    def __init__(self) -> None:
        """An empty graph.

        Raises:
            InputError: the package `onnx` is missing.
        """
        self.onnx = load_onnx()
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        name: str,
        attributes: Attributes | None = None,
        domain: str = "",
    ) -> str:
        """One node with one output, called `name`."""
        made = self.onnx.helper.make_node(
            op, list(inputs), [name], name=name, domain=domain, **(attributes or {})
        )
        self.nodes.append(made)
        return name

    def split(self, x: str, axis: int, parts: Sequence[str]) -> None:
        """x cut into equal parts."""
        attributes = {"axis": axis, "num_outputs": len(parts)}
        made = self.onnx.helper.make_node("Split", [x], list(parts), f"{x}/split", **attributes)
        self.nodes.append(made)

    def joints_to_channels(self, x: str, axes: tuple[int, int], joints: int, name: str) -> None:
        """Joint by joint along the channels: x is cut along `axes[0]`, joined along `axes[1]`."""
        parts = [x]
        if joints > 1:
            parts = [f"{name}/joint{v}" for v in range(joints)]
            self.split(x, axes[0], parts)
        self.add("Concat", parts, name, {"axis": axes[1]})

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """An initializer; one already there under the name is the same one."""
        if name not in self.constants:
            array = np.asarray(values, dtype)
            self.constants[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def scalar(self, value: float, dtype: npt.DTypeLike) -> str:
        """A constant number, shared by all that use it."""
        kind = np.dtype(dtype)
        return self.constant(f"const/{kind.name}/{value!r}", value, kind)

    def ints(self, values: Sequence[int]) -> str:
        """A constant int64 vector (axes, shapes, pads), shared by all that use it."""
        return self.constant(f"ints/{'_'.join(map(str, values))}", list(values), np.int64)

    def shifted(self, x: str, frames: int, place: tuple[int, int, str], name: str) -> str:
        """x delayed by `frames` frames, zeros in front; `place` as in `window_sum`."""
        axis, rank, zero = place
        pads = [0] * (2 * rank)
        pads[axis] = frames
        longer = self.add("Pad", [x, self.ints(pads), zero], f"{name}/padded{frames}")
        limits = [self.ints([0]), self.ints([-frames]), self.ints([axis])]
        return self.add("Slice", [longer, *limits], f"{name}/late{frames}")

    def window_sum(
        self, x: str, window: int, dilation: int, place: tuple[int, int, str], name: str
    ) -> str:
        """`sum_{k < window} x_{t - k * dilation}` by sums of 1, 2, 4, ... frames.

        `place` is (time axis, rank, name of a zero of x's type).
        """
        total, taken, size = "", 0, 1
        power = x  # the sum of `size` frames
        while taken < window:
            if window & size:
                at = f"{name}/first{taken + size}"
                late = self.shifted(power, taken * dilation, place, at) if taken else power
                taken += size
                last = name if taken == window else at
                if total:
                    total = self.add("Add", [total, late], last)
                else:
                    total = late if taken < window else self.add("Identity", [late], name)
            if taken < window:
                at = f"{name}/of{2 * size}"
                late = self.shifted(power, size * dilation, place, at)
                power = self.add("Add", [power, late], at)
                size *= 2
        return total

    def save(
        self,
        graph: Graph,
        ends: tuple[Sequence[Any], Sequence[Any]],
        meta: Mapping[str, str],
        path: Path,
    ) -> None:
        """Check the model and write it, whole or not at all.

        Args:
            graph: the network; its name and hash are kept in the model.
            ends: value infos of the inputs and of the outputs.
            meta: more metadata of the model.
            path: the file.

        Raises:
            InputError: the file cannot be written.
        """
        helper = self.onnx.helper
        body = helper.make_graph(
            self.nodes, graph.name or "network", *ends, list(self.constants.values())
        )
        imports = [helper.make_opsetid("", OPSET)]
        if any(node.domain for node in self.nodes):
            imports.append(helper.make_opsetid(QONNX_DOMAIN, 1))
        model = helper.make_model(
            body,
            opset_imports=imports,
            ir_version=IR_VERSION,
            producer_name="stgcn-codesign",
            producer_version=tool_version(),
        )
        helper.set_model_props(model, {"graph_hash": graph_hash(graph), **meta})
        self.onnx.checker.check_model(model)
        with replacing(path) as temporary:
            temporary.write_bytes(model.SerializeToString(deterministic=True))

    def info(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> Any:
        """What an input or output of the model is."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, list(shape))
