"""The options of a command as one frozen model: command line over file over default.

A command declares its options once, as the fields of a `Settings` model. `add_command` makes the
command line of them, every option None until it is given, and adds `--config FILE.yaml`, whose keys
are the options' names with underscores. `settings_of` puts the two and the defaults together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import annotated_types
import typer
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from fxp.errors import InputError
from fxp.spec import Spec, load_spec, parse_spec, violation
from fxp.yaml_file import read_yaml

Flag = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
CONFIG = "config"


class Settings(Spec):
    """Base of the options of a command.

    A field that is a `Spec` itself is the name of a YAML file on the command line, and in the file
    of settings a name or the mapping in its place. `displaces`: what an option
    stands in place of; on the command line it sets those of the file aside, and the two together
    are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    displaces: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @field_validator("*", mode="after")
    @classmethod
    def _path(cls, value: Any) -> Any:
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("a path without null characters is needed")
        return value


@dataclass(frozen=True)
class Positional:
    """Marks the field that stands on the command line without an option's name."""

    metavar: str


def _participants(value: Any) -> Any:
    """`1,5,6` as text, one number, or a list of numbers."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() for part in value):
            raise ValueError("participants as `1,5,6` are needed")
        value = [int(part) for part in value]
    parts = [value] if type(value) is int else value
    whole = isinstance(parts, list) and all(type(part) is int and part >= 0 for part in parts)
    if not whole or not parts:
        raise ValueError("participants as `1,5,6` are needed")
    return frozenset(parts)


Participants = Annotated[frozenset[int], BeforeValidator(_participants)]


def _names(value: Any) -> Any:
    """`a,b` as text, or a list of texts."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(type(p) is str and p for p in parts):
        raise ValueError("names as `a,b` are needed")
    return tuple(parts)


def _numbers(value: Any) -> Any:
    """`3` or `1,2,4` as text, one number, or a list of numbers."""
    if isinstance(value, str):
        value = [int(part) if part.strip().isdecimal() else part for part in value.split(",")]
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(type(part) is int and abs(part) < 2**31 for part in parts):
        raise ValueError("numbers as `9` or `9,9,69` are needed")
    return tuple(parts)


def _flags(value: Any) -> Any:
    """`1,0,1` as text, or a list of them or of true and false."""
    if isinstance(value, list):
        value = [int(part) if type(part) is bool else part for part in value]
    numbers = _numbers(value)
    if not set(numbers) <= {0, 1}:
        raise ValueError("flags as `0,1,1` are needed")
    return tuple(bool(number) for number in numbers)


Numbers = Annotated[tuple[int, ...], BeforeValidator(_numbers)]
Flags = Annotated[tuple[bool, ...], BeforeValidator(_flags)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
SettingsT = TypeVar("SettingsT", bound=Settings)


def add_command(
    app: typer.Typer, name: str, model: type[SettingsT], run: Callable[[SettingsT], None]
) -> None:
    """Add `run` to a command line, with an option (or argument) for each field of `model`."""

    def command(**given: Any) -> None:
        run(settings_of(model, given, given.pop(CONFIG)))

    parameters = [_parameter(key, info) for key, info in keys_of(model).items()]
    config = typer.Option(
        None, "--config", metavar="FILE.yaml", help="Options by name, below those given here."
    )
    parameters.append(_keyword(CONFIG, Path, config))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = run.__doc__
    app.command(name)(command)


def settings_of(model: type[SettingsT], given: Mapping[str, Any], config: Path | None) -> SettingsT:
    """What a command is to do: `given` (None: not given) over the file over the defaults.

    Raises:
        InputError: one line that names the option, or the file and its key, the value and the
            rule.
    """
    known = keys_of(model)
    chosen = {key: value for key, value in given.items() if value is not None}
    filed = _filed(model, config) if config else {}
    aside = {other for key in chosen for other in model.displaces.get(key, ())}
    filed = {key: value for key, value in filed.items() if key not in aside}
    for key, others in model.displaces.items():
        if key in filed | chosen and any(other in filed | chosen for other in others):
            shown = " and ".join(_shown(other, known[other]) for other in others if other in known)
            raise InputError(f"give {_shown(key, known[key])}, or {shown}, not both")
    for key, value in chosen.items():
        if (kind := _spec_type(known[key])) is not None:
            chosen[key] = load_spec(kind, value)
    try:
        return model.model_validate(filed | chosen)
    except ValidationError as error:
        raise _refusal(model, error, chosen, config) from None


def keys_of(model: type[Settings]) -> dict[str, FieldInfo]:
    """The fields by the name a user writes."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _filed(model: type[Settings], config: Path) -> dict[str, Any]:
    """What the file of settings says; names of files in it are relative to its folder."""
    data = read_yaml(config)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(f"{config}: a mapping of keys is needed, got {type(data).__name__}")
    known, found = keys_of(model), dict[str, Any]()
    for key, value in data.items():
        if key not in known:
            allowed = ", ".join(known)
            raise InputError(
                f"{config}: key `{str(key)[:80]}` is unknown (allowed here: {allowed})"
            )
        kind = _spec_type(known[key])
        if kind is not None and value is not None:
            file = config.parent / value if isinstance(value, str) else None
            value = load_spec(kind, file) if file else parse_spec(kind, value, f"{config}: {key}")
        elif _arm(known[key])[0] is Path and isinstance(value, str):
            value = config.parent / value
        found[key] = value
    return found


def _refusal(
    model: type[Settings], error: ValidationError, chosen: Mapping[str, Any], config: Path | None
) -> InputError:
    key, text = violation(model, error)
    first = error.errors(include_url=False)[0]
    head = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        name = _shown(head, keys_of(model)[head])
        return InputError(f"{name} is needed (on the command line, or as `{head}` in --config)")
    rule = text.removeprefix(f"key `{key}`: ")
    if head in chosen:
        return InputError(f"{_shown(head, keys_of(model)[head])}: {rule}")
    return InputError(f"{config}: {text}" if head else rule)


def _parameter(key: str, info: FieldInfo) -> inspect.Parameter:
    """The typer parameter of a field, by its type."""
    kind, metadata = _arm(info)
    text = info.description or ""
    if isinstance(info.default, str | int) and not isinstance(info.default, bool):
        text += f" Default: {info.default}."
    for mark in info.metadata:
        if isinstance(mark, Positional):
            argument = typer.Argument(None, metavar=mark.metavar, help=text, show_default=False)
            return _keyword(key, Path, argument)
    option = f"--{key.replace('_', '-')}"
    if kind is bool:
        flag = f"{option}/--no-{key.replace('_', '-')}"
        return _keyword(key, bool, typer.Option(None, flag, help=text, show_default=False))
    if _spec_type(info) is not None:
        return _keyword(key, Path, typer.Option(None, option, metavar="FILE.yaml", help=text))
    low, high = None, None
    for mark in metadata:
        low = mark.ge if isinstance(mark, annotated_types.Ge) else low
        high = mark.le if isinstance(mark, annotated_types.Le) else high
    plain = kind in (int, Path) or get_origin(kind) is Literal
    limits: Any = {"min": low, "max": high} if kind is int else {}
    made = typer.Option(None, option, help=text, show_default=False, **limits)
    return _keyword(key, kind if plain else str, made)


def _keyword(key: str, kind: Any, default: Any) -> inspect.Parameter:
    only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(key, only, default=default, annotation=kind | None)


def _shown(key: str, info: FieldInfo) -> str:
    """How a user knows a field: `--option`, or the argument's name."""
    for mark in info.metadata:
        if isinstance(mark, Positional):
            return mark.metavar
    return f"--{key.replace('_', '-')}"


def _arm(info: FieldInfo) -> tuple[Any, tuple[Any, ...]]:
    """The type of a field without None, and what is said of it."""
    kind, metadata = info.annotation, list(info.metadata)
    if type(None) in get_args(kind):
        (kind,) = (arm for arm in get_args(kind) if arm is not type(None))
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metadata += more
    for mark in tuple(metadata):
        if isinstance(mark, FieldInfo):
            metadata += mark.metadata
    return kind, tuple(metadata)


def _spec_type(info: FieldInfo) -> type[Spec] | None:
    kind = _arm(info)[0]
    return kind if isinstance(kind, type) and issubclass(kind, Spec) else None
