"""Files of widths beside each other: scores of the integer network that each of them makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.beside_brevitas import Trained, participants_of
from benchmarks.beside_choices import measured
from fxp.errors import InputError
from fxp.ptq.choose import CANDIDATES
from fxp.ptq.quantise import quantise
from fxp.qformat import Rounding
from fxp.spec import QuantSpec, Repair
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.export import export
from stgcn_ref.scoring import predict_integers
from tests.networks import clip, random_model, small_arch

ARCH = small_arch(channels=(4,), window=3, dilation=1)


def sides() -> tuple[Dataset, Dataset]:
    made = [clip(ARCH, frames, n, f"clip{n}") for n, frames in enumerate((60, 40, 50))]
    clips = tuple(one for one in made if isinstance(one, Clip))
    names = tuple("abcdefgh"[: ARCH.classes])
    ds = Dataset("made", ARCH.skeleton, names, 20.0, clips, synthetic=True)
    return replace(ds, clips=clips[:2]), replace(ds, clips=clips[2:])


def test_scores_are_those_of_the_integer_network() -> None:
    train, scored = sides()
    one = Trained("net", 0, "key", export(random_model(ARCH), ARCH, train.clips))
    specs = {
        "wide": QuantSpec(weight_bits=16, activation_bits=16),
        "narrow": QuantSpec(weight_bits=3, activation_bits=3),
        "chosen": QuantSpec(
            weight_bits=4,
            activation_bits=4,
            repair=Repair(choose=True, cast_roundings=(Rounding.RND_CONV,)),
        ),
    }
    found = dict(measured(one, train, scored, specs))
    assert list(found) == list(specs)
    assert found["wide"].divergence < found["narrow"].divergence
    assert found["wide"].agreement == 100 and found["wide"].chosen == ""
    labels = predict_integers(quantise(one.net, specs["narrow"]), scored)
    right = np.concatenate(labels) == np.concatenate([c.labels for c in scored.clips])
    assert found["narrow"].frame_accuracy == pytest.approx(100 * right.mean())
    names = ["+".join([c, *[r] * (r != "nearest"), *["bias"] * b]) for c, r, b in CANDIDATES]
    assert found["chosen"].chosen in [*names, *(f"{name}+rnd_conv" for name in names)]
    assert str(found["chosen"]).endswith(f" {found['chosen'].chosen}")


def test_participants_are_numbers() -> None:
    assert participants_of("--score", "1,6") == (1, 6)
    with pytest.raises(InputError, match="--score '1;6': whole numbers with commas"):
        participants_of("--score", "1;6")
