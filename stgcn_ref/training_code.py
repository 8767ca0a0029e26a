"""Which files' text decides a trained network: part of the keys of checkpoints and of sweeps.

Kept apart from the training itself, so that whoever only needs a key loads no torch.
"""

from __future__ import annotations

# What decides the weights besides architecture, data, recipe and seed.
TRAINING_CODE = (
    "fxp.skeleton",
    "stgcn_ref.augment",
    "stgcn_ref.datasets.clips",
    "stgcn_ref.evaluate",
    "stgcn_ref.loss",
    "stgcn_ref.metrics",
    "stgcn_ref.models",
    "stgcn_ref.recipe",
    "stgcn_ref.scoring",
    "stgcn_ref.segments",
    "stgcn_ref.train",
)

# And what decides the float network that a training is exported to.
EXPORT_CODE = (
    *TRAINING_CODE,
    "fxp.floatnet",
    "fxp.observe",
    "fxp.outline",
    "stgcn_ref.checkpoints",
    "stgcn_ref.export",
    "stgcn_ref.folding",
    "stgcn_ref.training_code",
)

# And what decides an integer network that was trained as one.
QAT_CODE = (*EXPORT_CODE, "fxp", "fxp.kernels", "stgcn_ref.qat")
