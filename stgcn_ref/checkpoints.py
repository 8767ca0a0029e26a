"""Trained float networks as files, and the cache that makes a sweep train each of them once.

A checkpoint is an `fxp.archive` file of kind `checkpoint`: the state dict as plain arrays, and a
header with architecture, recipe, seed, data hashes, scores and the training's history. No pickle is
involved. While a training runs, everything its next epoch depends on is kept beside the checkpoint
(`.partial`), so a training that was killed goes on after its last whole epoch.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from fxp.archive import canonical_json, load_arrays, save_arrays
from fxp.code_version import code_version
from fxp.errors import InputError
from fxp.files import replacing
from fxp.skeleton import Skeleton
from fxp.spec import ArchSpec, parse_spec
from stgcn_ref import published
from stgcn_ref.datasets.clips import dataset_hash
from stgcn_ref.datasets.recognition import RecognitionSet, recognition_hash
from stgcn_ref.models.build import Net, build
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.train import AnySet, Device, Epoch, Run, train, training_device
from stgcn_ref.training_code import TRAINING_CODE

KIND = "checkpoint"


@dataclass(frozen=True)
class Watch:
    """Who wants to know how a training goes: after steps (step, steps) and after epochs."""

    on_step: Callable[[int, int], None] | None = None
    on_epoch: Callable[[Epoch], None] | None = None


def training_key(
    arch: ArchSpec,
    train_set: AnySet,
    valid_set: AnySet,
    recipe: TrainRecipe,
    seed: int,
    device: Device = "auto",
) -> str:
    """sha256 (hex) of everything that decides the trained weights on a given machine."""
    content = {
        "arch": arch.model_dump(mode="json"),
        "train": _hash(train_set),
        "valid": _hash(valid_set),
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "code": code_version(TRAINING_CODE),
        "torch": torch.__version__,
        "device": training_device(device).type,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def train_cached(
    arch: ArchSpec,
    train_set: AnySet,
    valid_set: AnySet,
    recipe: TrainRecipe,
    seed: int,
    cache: Path,
    watch: Watch | None = None,
    device: Device = "auto",
) -> Path:
    """The checkpoint of a training: found in `cache`, or trained (or trained on) and kept there.

    Args:
        arch, train_set, valid_set, recipe, seed, device: as `stgcn_ref.train.train` takes them.
        cache: folder of checkpoints, made if missing.
        watch: told of the progress; nothing is told of a training that was cached.

    Returns:
        The checkpoint's path, `<key>.ckpt` in `cache`.

    Raises:
        InputError: as `train`; or a file there cannot be read or written.
    """
    key = training_key(arch, train_set, valid_set, recipe, seed, device)
    path = cache / f"{key}.ckpt"
    if path.is_file():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{cache}: cannot be made ({error.strerror or error})") from None
    partial = path.with_suffix(".partial")
    watch = watch or Watch()

    def keep(run: Run) -> None:
        with replacing(partial) as temporary:
            torch.save(run.state(), temporary)
        if watch.on_epoch is not None:
            watch.on_epoch(run.history[-1])

    run = train(
        arch,
        train_set,
        valid_set,
        recipe,
        seed,
        device=device,
        state=read_partial(partial),
        on_epoch=keep,
        on_step=watch.on_step,
    )
    header = {
        "training": key,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "data": {"train": _about(train_set), "valid": _about(valid_set)},
        "epoch": run.best_epoch,
        "scores": asdict(run.best_scores),
        "history": [asdict(epoch) for epoch in run.history],
    }
    save_checkpoint(run.kept(), arch, path, header)
    partial.unlink(missing_ok=True)
    return path


def save_checkpoint(net: Net, arch: ArchSpec, path: Path, about: dict[str, Any]) -> None:
    """Write a network; `about` is JSON data kept in the header."""
    header = {"kind": KIND, "arch": arch.model_dump(mode="json"), "about": about}
    arrays = {key: value.detach().cpu().numpy() for key, value in net.state_dict().items()}
    save_arrays(path, header, arrays)


def load(
    path: Path | str,
    family: Literal["own", "stgcn", "msgcn", "rtstgcn"] | None = None,
    skeleton: str | Skeleton | None = None,
    **hyper: Any,
) -> Net:
    """The network in `path`, in eval mode on the CPU: a checkpoint of this toolkit, or a published
    state dict.

    Args:
        path: the file.
        family: whose state dict it is, see `stgcn_ref.published.load`; `own` or left out for a
            checkpoint of this toolkit.
        skeleton: the graph that is expected. A checkpoint must have been trained on it; for
            published ones see `stgcn_ref.published.load`.
        hyper: keywords of a published family, see there. A checkpoint has none.

    Raises:
        InputError: the file is missing, foreign or damaged; unknown family or keyword; another
            skeleton than expected.
    """
    if family not in (None, "own"):
        return published.load(path, family, skeleton, **hyper)
    path = Path(path)
    for key in hyper:
        raise InputError(f"{path}: keyword `{key}` is for published networks: give `family` too")
    if skeleton is not None:
        wanted = skeleton if isinstance(skeleton, str) else skeleton.name
        found = read_header(path)[0].skeleton
        if found != wanted:
            raise InputError(f"{path}: `skeleton` is {found}, not {wanted}")
    return load_checkpoint(path)


def load_checkpoint(path: Path) -> Net:
    """The network of a checkpoint, in inference mode.

    Raises:
        InputError: the file is missing, foreign or damaged, or a tensor is missing, unknown or of
            another shape than the architecture's (the line names it).
    """
    header, arrays = load_arrays(path, KIND)
    net = build(parse_spec(ArchSpec, header.get("arch"), f"{path}: arch"))
    own = net.state_dict()
    for name in sorted(own.keys() ^ arrays.keys()):
        state = "missing" if name in own else "unknown"
        raise InputError(f"{path}: tensor `{name}` is {state}")
    for name, value in own.items():
        found = torch.from_numpy(arrays[name])
        if found.shape != value.shape or found.dtype != value.dtype:
            raise InputError(
                f"{path}: tensor `{name}` must be {value.dtype} {tuple(value.shape)}, "
                f"got {found.dtype} {tuple(found.shape)}"
            )
        own[name] = found
    net.load_state_dict(own)
    return net.eval()


def read_header(path: Path) -> tuple[ArchSpec, dict[str, Any]]:
    """Architecture and `about` of a checkpoint (errors as `load_checkpoint`)."""
    header, _ = load_arrays(path, KIND)
    about = header.get("about")
    if not isinstance(about, dict):
        raise InputError(f"{path}: header: `about` must be an object")
    return parse_spec(ArchSpec, header.get("arch"), f"{path}: arch"), about


def read_partial(path: Path) -> dict[str, Any] | None:
    """State of an unfinished training. One that cannot be read is started anew: nothing is lost
    but time, and it was written by this program under the same key."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        path.unlink(missing_ok=True)
        return None
    return state


def _hash(ds: AnySet) -> str:
    return recognition_hash(ds) if isinstance(ds, RecognitionSet) else dataset_hash(ds)


def _about(ds: AnySet) -> dict[str, Any]:
    return {
        "name": ds.name,
        "synthetic": ds.synthetic,
        "hash": _hash(ds),
        "classes": list(ds.classes),
        "clips": len(ds.clips),
        "preparation": ds.meta.get("preparation"),
        "features": ds.meta.get("features"),
        "reader": ds.meta.get("reader"),
        "rate_hz": ds.rate_hz,
    }
