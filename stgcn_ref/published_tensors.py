"""The tensors of a published checkpoint: each asked for by name and shape, none left over."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fxp.errors import InputError

# Where a training script keeps the state dict among other things (Realtime-ST-GCN does)
_NESTED = "model_state_dict"
_PARALLEL = "module."  # torch's DataParallel puts it in front of every name


class Tensors:
    """A state dict that is taken apart strictly: every error names the file and the tensor."""

    def __init__(self, source: str, tensors: Mapping[str, Tensor]) -> None:
        """`source` stands in front of every message."""
        self.source = source
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self) -> tuple[str, ...]:
        """Of all tensors that nobody has taken, in the file's order."""
        return tuple(self._left)

    def axes(self, name: str) -> int:
        """Number of axes of a tensor that must be there.

        Raises:
            InputError: it is missing.
        """
        if name not in self._left:
            raise InputError(f"{self.source}: tensor `{name}` is missing")
        return self._left[name].ndim

    def count(self, prefix: str) -> int:
        """How many layers there are whose tensors' names start with `prefix` and a number.

        Numbers that no file of so few tensors can reach count as one too many.
        """
        layer = re.compile(re.escape(prefix) + r"(\d+)\.")
        numbers = [int(found[1]) for name in self._left if (found := layer.match(name))]
        return min(max(numbers, default=-1), len(self._left)) + 1

    def size(self, *places: tuple[str, int], per: int = 1) -> int:
        """The size that most of these (tensor, axis) have, divided by `per`; the first of equals.

        So a single tensor of another shape does not decide what the shape should be, and `take`
        names it.

        Raises:
            InputError: none of the tensors is there (the first is named), or none has a size that
                `per` divides.
        """
        there = [(self._left[name].shape, axis) for name, axis in places if name in self._left]
        found = [shape[axis] for shape, axis in there if axis < len(shape)]
        fitting = [size // per for size in found if size and size % per == 0]
        if not fitting:
            name, axis = places[0]
            self.axes(name)
            raise InputError(
                f"{self.source}: tensor `{name}` must have a multiple of {per} at axis {axis}, got "
                f"shape {tuple(self._left[name].shape)}"
            )
        return max(fitting, key=fitting.count)

    def take(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name and shape, as float32; it counts as used.

        Raises:
            InputError: it is missing, has another shape, is no float, or is not finite.
        """
        self.axes(name)
        tensor = self._left.pop(name)
        found = tuple(tensor.shape)
        if found != shape:
            raise InputError(f"{self.source}: tensor `{name}` must be {shape}, got {found}")
        if not tensor.is_floating_point():
            raise InputError(f"{self.source}: tensor `{name}` must be float, got {tensor.dtype}")
        if not tensor.isfinite().all():
            raise InputError(f"{self.source}: tensor `{name}` has values that are not finite")
        return tensor.float()

    def finish(self, what: str) -> None:
        """Refuse what nobody has taken.

        Raises:
            InputError: a tensor is left; the first one, in the file's order, is named.
        """
        for name, tensor in self._left.items():
            more = f" (and {len(self._left) - 1} more)" if len(self._left) > 1 else ""
            raise InputError(
                f"{self.source}: tensor `{name}` {tuple(tensor.shape)}{more} is extra: {what}"
            )

    def linear(
        self, into: str, name: str, rows: int, columns: int, axes: int, bias: bool = True
    ) -> dict[str, Tensor]:
        """A 1x1 convolution, `(rows, columns, 1...)` over `axes` axes, as an `nn.Linear`.

        Without `bias` the bias is zero, unless the file has one after all.
        """
        self.agree(f"{name}.weight", f"{name}.bias")
        weight = self.take(f"{name}.weight", rows, columns, *(1,) * axes)
        known = bias or f"{name}.bias" in self
        return {
            f"{into}.weight": weight.view(rows, columns),
            f"{into}.bias": self.take(f"{name}.bias", rows) if known else torch.zeros(rows),
        }

    def temporal(
        self, into: str, name: str, channels: int, taps: int, axes: int
    ) -> dict[str, Tensor]:
        """A convolution over the first of `axes` axes, channels staying, as a `TemporalConv`."""
        shape = (channels, channels, taps)
        weight = self.take(f"{name}.weight", *shape, *(1,) * (axes - 1))
        return {
            f"{into}.weight": weight.view(shape),
            f"{into}.bias": self.take(f"{name}.bias", channels),
        }

    def graph(self, name: str, importance: str) -> Tensor:
        """The adjacency `(P, V, V)`; `importance` with `{}` names the layers' edge importances."""
        alike = [name, *(key for key in self._left if _fits(importance, key))]
        partitions = self.size(*((key, 0) for key in alike))
        joints = self.size(*((key, axis) for key in alike for axis in (1, 2)))
        return self.take(name, partitions, joints, joints)

    def importance(self, name: str, graph: Tensor, learnt: bool) -> Tensor:
        """A layer's edge importance, of the graph's shape; ones where none was learnt."""
        return self.take(name, *graph.shape) if learnt else torch.ones_like(graph)

    def batch_norm(self, into: str, name: str, features: int) -> dict[str, Tensor]:
        """A BatchNorm with running statistics; its count of batches may be absent (old torch).

        Raises:
            InputError: as `take`, or a variance is negative.
        """
        keys = ("weight", "bias", "running_mean", "running_var")
        made = {f"{into}.{key}": self.take(f"{name}.{key}", features) for key in keys}
        if (made[f"{into}.running_var"] < 0).any():
            raise InputError(f"{self.source}: tensor `{name}.running_var` has negative values")
        counter = f"{name}.num_batches_tracked"
        count = self._left.pop(counter, torch.tensor(0))
        if count.shape:
            shape = tuple(count.shape)
            raise InputError(f"{self.source}: tensor `{counter}` must be a number, got {shape}")
        made[f"{into}.num_batches_tracked"] = count
        return made

    def agree(self, first: str, second: str) -> None:
        """Two tensors must have the same first size, if both are there and have one.

        Raises:
            InputError: they have not; both are named, either may be the wrong one.
        """
        shapes = [tuple(self._left[name].shape) for name in (first, second) if name in self._left]
        if len(shapes) == 2 and all(shapes) and shapes[0][0] != shapes[1][0]:
            raise InputError(
                f"{self.source}: tensors `{first}` {shapes[0]} and `{second}` {shapes[1]} must "
                "have the same first size"
            )


def _fits(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern` with a number in place of `{}`."""
    before, after = pattern.split("{}")
    return re.fullmatch(f"{re.escape(before)}\\d+{re.escape(after)}", name) is not None


def per_layer(source: str, key: str, value: Sequence[int] | int, depth: int) -> tuple[int, ...]:
    """A keyword that is one positive integer for all layers or one for each.

    Raises:
        InputError: another number of entries, or one that is no positive integer.
    """
    entries = tuple(value) if isinstance(value, Sequence) else (value,)
    entries *= depth if len(entries) == 1 else 1
    if len(entries) != depth:
        raise InputError(
            f"{source}: `{key}` needs 1 or {depth} entries, one a layer, got {len(entries)}"
        )
    for entry in entries:
        if type(entry) is not int or entry < 1:
            raise InputError(f"{source}: `{key}` must be positive integers, got {entry!r}")
    return entries


def read_tensors(path: Path | str) -> Tensors:
    """The state dict in a file, without running any code of it, on the CPU.

    The file holds the state dict itself or a mapping with one under `model_state_dict`; names that
    all start with `module.` (torch's DataParallel) lose that.

    Raises:
        InputError: the file is missing, unreadable, or holds something else than named tensors.
    """
    source = str(path)
    if not Path(path).is_file():
        raise InputError(f"{source}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old storage formats: the file is the publisher's
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{source}: refused: it holds something else than tensors (only state dicts are read)"
        ) from None
    except Exception as error:  # a damaged file may break torch's unpickler in any way
        raise InputError(f"{source}: not a torch file ({error.__class__.__name__})") from None
    if isinstance(data, dict) and isinstance(data.get(_NESTED), dict):
        data = data[_NESTED]
    if not isinstance(data, dict) or not data:
        raise InputError(f"{source}: a state dict is needed, got {type(data).__name__}")
    for name, value in data.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise InputError(f"{source}: key {name!r}: a tensor is needed, got {kind}")
    if all(name.startswith(_PARALLEL) for name in data):
        data = {name.removeprefix(_PARALLEL): value for name, value in data.items()}
    return Tensors(source, data)
