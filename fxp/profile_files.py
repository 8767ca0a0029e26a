"""A profile as a JSON file and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from fxp.archive import json_data, parse_json
from fxp.errors import InputError
from fxp.files import replacing
from fxp.profile import Profile, TensorProfile
from fxp.sensitivity import Change
from fxp.tables import print_table

FORMAT = "stgcn-codesign-profile"
VERSION = 1
COLUMNS = (
    *("tensor", "role", "word", "frac_bits", "lowest", "highest", "wanted_lowest"),
    *("wanted_highest", "sqnr_db", "clipped_percent", "codes_percent", "dead"),
)


def save_profile(profile: Profile, changes: Sequence[Change], path: Path) -> None:
    """Write a profile, and its sensitivity if any was measured, as one JSON object.

    Raises:
        InputError: the file cannot be written.
    """
    whole = {
        "format": FORMAT,
        "version": VERSION,
        **asdict(profile),
        "sensitivity": [asdict(change) for change in changes],
    }
    with replacing(path) as temporary:
        text = json.dumps(json_data(whole, str(path)), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", "utf-8")


def load_profile(path: Path) -> tuple[Profile, tuple[Change, ...]]:
    """Read what `save_profile` wrote.

    Raises:
        InputError: the file is missing or no profile; the line names it.
    """
    try:
        data = parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not a profile (`format` is not {FORMAT})")
    if data.get("version") != VERSION:
        raise InputError(f"{path}: `version` must be {VERSION}, got {data.get('version')!r:.80}")
    del data["format"], data["version"]
    changes = _entries(Change, data.pop("sensitivity", None), f"{path}: sensitivity")
    for key in ("tensors", "constants"):
        data[key] = _entries(TensorProfile, data.get(key), f"{path}: {key}")
    return _build(Profile, data, str(path)), changes


def print_profile(profile: Profile) -> None:
    """A row per tensor and constant, and what the network as a whole does."""
    rows = [_row(tensor) for tensor in (*profile.tensors, *profile.constants)]
    print_table(COLUMNS, rows)


def print_changes(changes: Sequence[Change]) -> None:
    """A row per tensor: labels that changed and how far the output moved, at each width."""
    widths = sorted({change.bits for change in changes})
    rows: dict[tuple[str, str], dict[int, Change]] = {}
    for change in changes:
        rows.setdefault((change.name, change.kind), {})[change.bits] = change
    columns = ["tensor", "kind"]
    columns += [f"labels_percent_{bits}b" for bits in widths]
    columns += [f"output_error_{bits}b" for bits in widths]
    print_table(columns, [(*key, *_changed(row, widths)) for key, row in rows.items()])


def _changed(row: Mapping[int, Change], widths: Sequence[int]) -> Iterator[object]:
    for bits in widths:
        share = row[bits].label_changes if bits in row else None
        yield "" if share is None else float(f"{100 * share:.3g}")
    for bits in widths:
        error = row[bits].output_error if bits in row else None
        yield "" if error is None else float(f"{error:.3g}")


def _row(tensor: TensorProfile) -> tuple[object, ...]:
    low, high = min(tensor.frac_bits), max(tensor.frac_bits)
    is_sum = tensor.role == "sum"
    return (
        tensor.name,
        tensor.role,
        f"{'s' if tensor.signed else 'u'}{tensor.word_bits}",
        low if low == high else f"{low}..{high}",
        *(float(f"{x:.5g}") for x in (tensor.lowest, tensor.highest)),
        *(float(f"{x:.5g}") for x in (tensor.wanted_lowest, tensor.wanted_highest)),
        "" if tensor.sqnr_db is None else round(tensor.sqnr_db, 1),
        "" if is_sum else float(f"{100 * tensor.clip_share:.3g}"),
        "" if is_sum else round(100 * tensor.codes_used, 1),
        f"{len(tensor.dead_channels)}/{tensor.channels}",
    )


def _entries(kind: type[Any], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where}: must be a list")
    return tuple(_build(kind, item, f"{where}[{i}]") for i, item in enumerate(value))


def _build(kind: type[Any], value: Any, where: str) -> Any:
    """A dataclass from exactly its fields; lists become tuples."""
    names = {field.name for field in fields(kind)}
    if not isinstance(value, dict) or value.keys() != names:
        raise InputError(f"{where}: the keys must be {', '.join(sorted(names))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})
