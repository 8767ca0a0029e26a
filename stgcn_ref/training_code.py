"""Which files' text decides a trained network: part of the keys of checkpoints and of sweeps.

Kept apart from the training itself, so that whoever only needs a key loads no torch.
"""

from __future__ import annotations

# What decides the weights besides architecture, data, recipe and seed.
TRAINING_CODE = (
    "fxp.persons",
    "fxp.skeleton",
    "stgcn_ref.augment",
    "stgcn_ref.clip_task",
    "stgcn_ref.datasets.clips",
    "stgcn_ref.datasets.recognition",
    "stgcn_ref.evaluate",
    "stgcn_ref.frame_task",
    "stgcn_ref.loss",
    "stgcn_ref.metrics",
    "stgcn_ref.models",
    "stgcn_ref.optimiser",
    "stgcn_ref.recipe",
    "stgcn_ref.recognition_metrics",
    "stgcn_ref.scoring",
    "stgcn_ref.segments",
    "stgcn_ref.task",
    "stgcn_ref.train",
)

# And what decides the float network that a training is exported to.
EXPORT_CODE = (
    *TRAINING_CODE,
    "fxp.draft",
    "fxp.floatnet",
    "fxp.observe",
    "fxp.outline",
    "fxp.outline_tcn",
    "stgcn_ref.checkpoints",
    "stgcn_ref.export",
    "stgcn_ref.folding",
    "stgcn_ref.training_code",
)

# And what decides an integer network that was trained as one.
QAT_CODE = (*EXPORT_CODE, "fxp", "fxp.kernels", "fxp.ptq", "stgcn_ref.judge", "stgcn_ref.qat")
