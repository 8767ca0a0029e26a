"""The container of every model file: a zip of `header.json` and one `.npy` member per array.

Nothing in such a file is executed or unpickled. Members are stored uncompressed, with a fixed date
and in a fixed order, so that equal contents give equal bytes; the header carries the dtype and the
shape of every array and a sha256 over all of it, checked at load. A reader can use plain numpy:
`numpy.load` opens the arrays of the file as it does those of an `.npz`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.files import replacing

FORMAT = "stgcn-codesign-model"
VERSION = 1
HEADER = "header.json"
MAX_HEADER_BYTES = 1 << 24
MAX_FILE_BYTES = 1 << 31
MAX_DEPTH = 64  # of JSON data to be stored; what is read may nest twice as deep, keys around it

Array = npt.NDArray[Any]

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*_INTEGERS, "float32", "float64")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*", re.ASCII)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HEADER_KEYS = {"format", "version", "kind", "content_hash", "arrays", "content"}
# What zipfile, json and numpy raise on damaged bytes; RecursionError is a RuntimeError.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    SyntaxError,
    MemoryError,
)


def json_data(value: Any, where: str, depth: int = MAX_DEPTH) -> Any:
    """`value` as plain JSON data (tuples become lists), so that a round trip gives it back.

    Raises:
        InputError: a value that JSON cannot hold: NaN, an infinity, a key that is no string, an
            object, data nested deeper than `depth`; the line starts with `where` and the key.
    """
    if depth < 0:
        raise InputError(f"{where}: nested too deep")
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if math.isfinite(value):
                return value
            raise InputError(f"{where}: must be a finite number, got {value!r}")
        case list() | tuple():
            return [json_data(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(value)]
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise InputError(f"{where}: keys must be strings, got {key!r}")
            return {k: json_data(item, f"{where}.{k}", depth - 1) for k, item in value.items()}
        case _:
            raise InputError(f"{where}: must be JSON data, got {type(value).__name__}")


def canonical_json(data: Any) -> bytes:
    """The one rendering of JSON data that hashes are taken over: sorted keys, no spaces, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse_json(data: bytes, where: str) -> Any:
    """Parse JSON strictly: UTF-8, no NaN or infinity, no key twice, not endlessly deep.

    Raises:
        InputError: `where: not valid JSON (reason)`.
    """
    try:
        found = json.loads(
            data.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON ({_reason(error)})") from None
    try:
        return json_data(found, "", 2 * MAX_DEPTH)
    except InputError:  # depth is all that can be wrong with what was parsed
        raise InputError(f"{where}: nested too deep") from None


def content_hash(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """sha256 (hex) over the canonical JSON of `header`, then names, dtypes, shapes and bytes."""
    table = {name: {"dtype": a.dtype.name, "shape": list(a.shape)} for name, a in arrays.items()}
    digest = hashlib.sha256(canonical_json({"header": header, "arrays": table}))
    for name in sorted(arrays):
        digest.update(_bytes(arrays[name]))
    return digest.hexdigest()


def save_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write `header` (JSON data with a string under `kind`) and `arrays` as one file, atomically.

    Array names are dotted words (`block0.conv.weight`); dtypes are those of `DTYPES`.

    Raises:
        InputError: a header that is no JSON data, a name or dtype that the file cannot hold, or a
            file that cannot be written; nothing is left behind.
    """
    content = json_data(header, f"{path}: header")
    kind = content.pop("kind", None)
    if not isinstance(kind, str):
        raise InputError(f"{path}: header: `kind` must be a string, got {kind!r}")
    for name, array in arrays.items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{path}: array name {name!r} must be dotted words of A-Za-z0-9_-")
        if array.dtype.name not in DTYPES:
            raise InputError(f"{path}: array {name}: dtype {array.dtype} is not one of {DTYPES}")
    meta = {"format": FORMAT, "version": VERSION, "kind": kind, "content": content}
    table = {name: {"dtype": a.dtype.name, "shape": list(a.shape)} for name, a in arrays.items()}
    whole = {**meta, "arrays": table, "content_hash": content_hash(meta, arrays)}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_member(HEADER), canonical_json(whole))
        for name in sorted(arrays):
            archive.writestr(_member(f"{name}.npy"), _npy(arrays[name]))


def load_arrays(path: Path, kind: str | None = None) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `save_arrays` wrote: `(header, arrays)`, every byte checked.

    `kind` is the kind the caller can use; None takes any.

    Raises:
        InputError: one line naming the file and what is wrong with it.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            _refuse(path, f"larger than {MAX_FILE_BYTES} bytes")
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive, kind)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable model file ({_reason(error)})") from None


def _read(
    path: Path, archive: zipfile.ZipFile, kind: str | None
) -> tuple[dict[str, Any], dict[str, Array]]:
    members = _members(path, archive)
    if HEADER not in members:
        _refuse(path, f"not a model file (no member {HEADER})")
    if members[HEADER].file_size > MAX_HEADER_BYTES:
        _refuse(path, f"{HEADER} is larger than {MAX_HEADER_BYTES} bytes")
    header = parse_json(archive.read(members.pop(HEADER)), f"{path}: {HEADER}")
    table = _checked_header(path, header, kind)
    for name in sorted(table.keys() - {m.removesuffix(".npy") for m in members}):
        _refuse(path, f"member {name}.npy is missing")
    for member in sorted(members.keys() - {f"{name}.npy" for name in table}):
        _refuse(path, f"member {member!r} is not in the header")
    arrays = {
        name: _array(path, archive, members[f"{name}.npy"], dtype, shape)
        for name, (dtype, shape) in table.items()
    }
    meta = {key: header[key] for key in ("format", "version", "kind", "content")}
    if content_hash(meta, arrays) != header["content_hash"]:
        _refuse(path, "content hash does not match: the file was altered")
    return {**header["content"], "kind": header["kind"]}, arrays


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by name: each once, stored, and together no larger than the file that holds them."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename != HEADER and not (
            info.filename.endswith(".npy") and _NAME.fullmatch(info.filename.removesuffix(".npy"))
        ):
            _refuse(path, f"not a model file (member {info.filename[:80]!r})")
        if info.filename in members:
            _refuse(path, f"member {info.filename} is there twice")
        stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
        if not stored or info.flag_bits & 1:
            _refuse(path, f"member {info.filename} is compressed or encrypted")
        members[info.filename] = info
    if sum(info.file_size for info in members.values()) > path.stat().st_size:
        _refuse(path, "declared member sizes exceed the file")
    return members


def _checked_header(
    path: Path, header: Any, kind: str | None
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape by array name, after every key of the header was checked."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        _refuse(path, f"not a model file (`format` is not {FORMAT!r})")
    if header.get("version") != VERSION:
        _refuse(path, f"`version` must be {VERSION}, got {header.get('version')!r:.80}")
    if header.keys() != _HEADER_KEYS:
        _refuse(path, f"{HEADER} must have the keys {', '.join(sorted(_HEADER_KEYS))}")
    if not isinstance(header["kind"], str) or (kind is not None and header["kind"] != kind):
        _refuse(path, f"`kind` must be {kind!r}, got {header['kind']!r:.80}")
    if not isinstance(header["content"], dict) or not isinstance(header["arrays"], dict):
        _refuse(path, f"{HEADER}: `content` and `arrays` must be objects")
    table = {}
    for name, entry in header["arrays"].items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape"}:
            _refuse(path, f"array {name[:80]!r} must declare `dtype` and `shape`")
        if entry["dtype"] not in DTYPES:
            _refuse(path, f"array {name[:80]!r}: unknown dtype {entry['dtype']!r:.80}")
        shape = entry["shape"]
        if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
            _refuse(
                path, f"array {name[:80]!r}: `shape` must be a list of sizes, got {shape!r:.80}"
            )
        table[name] = (entry["dtype"], tuple(shape))
    return table


def _array(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: str, shape: tuple[int, ...]
) -> Array:
    stream = io.BytesIO(archive.read(info))
    if np.lib.format.read_magic(stream) != (1, 0):
        _refuse(path, f"member {info.filename}: .npy version must be 1.0")
    found_shape, fortran, found_dtype = np.lib.format.read_array_header_1_0(stream)
    if found_shape != shape or found_dtype.name != dtype or fortran:
        declared, found = f"{dtype}{list(shape)}", f"{found_dtype}{list(found_shape)}"
        _refuse(path, f"member {info.filename}: header declares {declared}, found {found}")
    data = stream.read()
    needed = math.prod(shape) * found_dtype.itemsize
    if len(data) != needed:
        _refuse(path, f"member {info.filename}: {needed} bytes are needed, found {len(data)}")
    return np.frombuffer(data, found_dtype).reshape(shape).astype(dtype)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3  # the same bytes on every system
    return info


def _npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, _little(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _bytes(array: Array) -> bytes:
    return _little(array).tobytes()


def _little(array: Array) -> Array:
    """The array in C order and little-endian words, whatever the machine's order is."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InputError(f"{path}: {reason}")


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
