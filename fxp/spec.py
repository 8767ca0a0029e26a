"""What a user writes down: the network (`ArchSpec`) and its number widths (`QuantSpec`), as YAML.

Both are frozen pydantic models that reject unknown keys; `load_spec` turns every violation into one
line naming file, key, value and rule.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from fxp.errors import InputError
from fxp.qformat import Overflow, Rounding
from fxp.yaml_file import read_yaml

WordBits = Annotated[int, Field(ge=2, le=32)]
Positive = Annotated[int, Field(ge=1)]
Channels = Annotated[int, Field(ge=1, le=4096)]  # the weights of a layer stay far below memory
Residual = Literal["identity", "conv", "none"]


class Spec(BaseModel):
    """Base of everything read from YAML: immutable, no unknown keys, no coercion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ArchSpec(Spec):
    """A network of the family, before any weight or number format.

    - `rtstgcn`: norm, 1x1 embedding, one RT-ST-GCN layer per entry of `channels`, joint mean,
      classifier (design of Yudayev et al., RT-ST-GCN). With `norm: layer` every norm is a LayerNorm
      over the channels and joints of a frame, as in the published code.
    - `costgcn`: the same with a learnable temporal convolution of `window` taps in place of the
      running sum (Hedegaard et al., CoST-GCN). Without `embedding` it is the frame-wise form of
      ST-GCN: the first block reads the input and has no shortcut.
    - `stgcn`: those blocks without embedding, each with a `stride`, then the mean over a clip's
      frames, joints and `persons`: one label per clip (Yan et al., ST-GCN).
    - `msgcn`: layers like `costgcn`'s without a ReLU behind the sum, then `refinements` stages of
      temporal convolutions over the softmax of the stage before, with the same taps and dilations
      (Filtjens et al., MS-GCN); all its layers have `embedding` channels and one `window`.
    - `tcn`: no graph. All joints of a frame are one vector; a temporal convolution to `embedding`
      channels, then one pre-activated residual layer per entry of `channels`, norm, ReLU,
      classifier (Kim & Reiter); all its convolutions have one `window` of taps.

    `window`, `dilation`, `stride` and `residual` are one entry for all layers or one per layer. A
    layer's residual is the identity, or a 1x1 convolution where channels or frame rate change;
    `residual` (rtstgcn, costgcn) may ask for a convolution elsewhere too, or for no residual.
    """

    family: Literal["rtstgcn", "costgcn", "stgcn", "msgcn", "tcn"] = "rtstgcn"
    skeleton: str
    partition: Literal["uniform", "distance", "spatial"] = "spatial"
    normalisation: Literal["column", "symmetric"] = "symmetric"
    in_channels: Channels
    embedding: Channels | None = None
    channels: tuple[Channels, ...] = Field(min_length=1)
    window: tuple[Positive, ...]
    dilation: tuple[Positive, ...] = (1,)
    stride: tuple[Positive, ...] = (1,)
    residual: tuple[Literal["auto", "conv", "none"], ...] = ("auto",)
    norm: Literal["batch", "layer"] = "batch"
    persons: Annotated[int, Field(ge=1, le=64)] = 1
    refinements: Annotated[int, Field(ge=0, le=64)] = 0
    classes: Annotated[int, Field(ge=2, le=4096)]

    @field_validator("window", "dilation", "stride", "residual", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | str) else value

    @field_validator("skeleton")
    @classmethod
    def _known_skeleton(cls, value: str) -> str:
        from fxp.skeleton import skeleton_names  # data, not arithmetic: read only when asked

        if value not in skeleton_names():
            raise ValueError(f"unknown skeleton {value!r}, allowed: {', '.join(skeleton_names())}")
        return value

    @model_validator(mode="after")
    def _per_layer(self) -> Self:
        depth = len(self.channels)
        for key in ("window", "dilation", "stride", "residual"):
            given = getattr(self, key)
            if len(given) == 1:
                object.__setattr__(self, key, given * depth)
            elif len(given) != depth:
                raise ValueError(f"`{key}` needs 1 or {depth} entries, got {len(given)}")
        return self

    @model_validator(mode="after")
    def _of_family(self) -> Self:
        family = self.family
        only: tuple[tuple[str, str, object, object], ...] = (
            ("refinements", "msgcn", self.refinements, 0),
            ("norm", "rtstgcn", self.norm, "batch"),
            ("persons", "stgcn", self.persons, 1),
            ("stride", "stgcn", set(self.stride), {1}),
        )
        for key, owner, given, neutral in only:
            if family != owner and given != neutral:
                raise ValueError(f"`{key}` is of family {owner} alone, not of {family}")
        if family not in ("rtstgcn", "costgcn") and set(self.residual) != {"auto"}:
            raise ValueError(f"`residual` is of families rtstgcn and costgcn, not of {family}")
        if family == "stgcn":
            if self.embedding is not None:
                raise ValueError("`embedding`: family stgcn has none")
            if set(self.dilation) != {1}:
                raise ValueError("`dilation` of family stgcn must be 1")
        elif family != "costgcn" and self.embedding is None:
            raise ValueError(f"`embedding` is needed in family {family}")
        uniform: tuple[tuple[str, tuple[int, ...], int | None], ...] = ()
        if family == "msgcn":
            uniform = (("channels", self.channels, self.embedding),)
        if family in ("msgcn", "tcn", "stgcn"):
            uniform += (("window", self.window, self.window[0]),)
        for key, values, wanted in uniform:
            if set(values) != {wanted}:
                raise ValueError(
                    f"`{key}` of family {family} must be {wanted} in all layers, got {list(values)}"
                )
        return self

    @property
    def residuals(self) -> tuple[Residual, ...]:
        """What the residual of each layer is; a first layer that reads the input has none."""
        entering = self.in_channels if self.embedding is None else self.embedding
        found: list[Residual] = []
        for i, asked in enumerate(self.residual):
            inputs = self.channels[i - 1] if i else entering
            if asked == "none" or (asked == "auto" and i == 0 and self.embedding is None):
                found.append("none")
            elif asked == "conv" or inputs != self.channels[i] or self.stride[i] != 1:
                found.append("conv")
            else:
                found.append("identity")
        return tuple(found)


class LayerBits(Spec):
    """Width overrides of one layer."""

    weight_bits: WordBits | None = None
    activation_bits: WordBits | None = None
    stream_bits: WordBits | None = None


def _of_all(value: Any) -> Any:
    return {"*": value} if isinstance(value, int) else value


# By layer or glob; one number stands for all layers.
AccumulatorBits = Annotated[dict[str, Annotated[int, Field(ge=4, le=48)]], BeforeValidator(_of_all)]

WeightRounding = Literal["nearest", "gptq", "adaround"]


class Repair(Spec):
    """What is done after calibration, on calibration recordings (`fxp.ptq`).

    `equalise`: scale channels between pairs of layers; `search`: how often all binary points are
    gone through, each chosen by what it does to the logits; `rounding`: how weights of convolutions
    are rounded; `bias`: correct the mean of every accumulator with a bias; `accumulators`: bring
    weights under widths in bits, one for all accumulators or one by layer or glob (the last that
    matches counts), and needs no recordings. With `choose` the calibrator, `rounding` and `bias`
    are the best of `fxp.ptq.choose.CANDIDATES`, whatever is given for them, as judged on recordings
    that neither has seen. `cast_roundings` are roundings of casts that each of them is tried with,
    too: none by default, as how casts round is built into the hardware.
    """

    equalise: bool = False
    search: Annotated[int, Field(ge=0, le=8)] = 0
    rounding: WeightRounding = "nearest"
    bias: bool = False
    choose: bool = False
    cast_roundings: tuple[Rounding, ...] = ()
    accumulators: AccumulatorBits = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later keys only where they are used: what was written before them stays as it was."""
        data: dict[str, Any] = dump(self)
        later = ("choose", "cast_roundings", "accumulators")
        unused = {key for key in later if not getattr(self, key)}
        return {key: value for key, value in data.items() if key not in unused}

    @model_validator(mode="after")
    def _roundings_are_chosen(self) -> Self:
        if self.cast_roundings and not self.choose:
            raise ValueError("`cast_roundings` are tried where `choose` is true, and only there")
        return self

    @property
    def measures(self) -> bool:
        """Whether it looks at recordings."""
        return self != Repair(accumulators=self.accumulators)


class QuantSpec(Spec):
    """Widths, rounding and calibration of the integer network; `frac_bits` come from calibration.

    `activation_bits` is the width of operands (what a multiplier reads), `stream_bits` of the
    residual stream between blocks (default: the operands'), `adjacency_bits` and `norm_bits` of the
    adjacency and affine constants (default: the weights', but at least 8 for a norm and 12 for the
    input's), `layer_norm_bits` of the words that a LayerNorm reads and gives (default: the
    operands', but at least 12).
    `layers` overrides widths by layer name (`block0`, `classifier`) or glob (`block*`); the last
    matching entry wins. With `unsigned_relu` a cast that ends in a ReLU drops its sign bit and
    gains one bit of range instead. The `calibrator` of every tensor is the one named, or with
    `best` the one that serves the network's classes best (`fxp.ptq.tensors`, needs recordings).
    """

    weight_bits: WordBits = 8
    activation_bits: WordBits = 8
    stream_bits: WordBits | None = None
    adjacency_bits: WordBits | None = None
    norm_bits: WordBits | None = None
    layer_norm_bits: WordBits | None = None
    input_bits: WordBits = 16
    logit_bits: WordBits = 16
    weight_granularity: Literal["tensor", "channel"] = "tensor"
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT
    calibrator: Literal["max", "percentile", "mse", "kl", "best"] = "mse"
    repair: Repair = Repair()
    fold: Literal["weights", "affine"] = "weights"
    unsigned_relu: bool = False
    accumulator_bits: Annotated[int, Field(ge=8, le=63)] = 48
    layers: dict[str, LayerBits] = Field(default_factory=dict)

    def bits(self, layer: str) -> tuple[int, int, int]:
        """(weight_bits, activation_bits, stream_bits) of a layer, overrides applied."""
        weight, activation, stream = self.weight_bits, self.activation_bits, self.stream_bits
        for pattern, over in self.layers.items():
            if fnmatch.fnmatchcase(layer, pattern):
                weight = over.weight_bits or weight
                activation = over.activation_bits or activation
                stream = over.stream_bits or stream
        return weight, activation, stream or activation


SpecT = TypeVar("SpecT", bound=BaseModel)


def parse_spec(model: type[SpecT], data: Any, source: str) -> SpecT:
    """Validate `data` as `model`.

    Raises:
        InputError: one line, `source: key: value: rule` of the first violation.
    """
    if not isinstance(data, dict):
        raise InputError(f"{source}: a mapping of keys is needed, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{source}: {violation(model, error)[1]}") from None


def violation(model: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """The key of the first violation, and what is wrong with it: "key `a.b`: rule, got 'value'"."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(model.model_fields)
        hint = f" (allowed here: {allowed})" if len(first["loc"]) == 1 else ""
        return key, f"key `{key}` is unknown{hint}"
    message = first["msg"].removeprefix("Value error, ")
    whole = first["type"] == "missing" or not first["loc"]  # the line would quote the file
    found = "" if whole else f", got {str(first['input'])[:80]!r}"
    return key, f"key `{key}`: {message}{found}"


def load_spec(model: type[SpecT], path: Path) -> SpecT:
    """Read a YAML file as `model`; errors as in `read_yaml` and `parse_spec`."""
    return parse_spec(model, read_yaml(path), str(path))
