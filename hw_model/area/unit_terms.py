from typing import Literal
Unit = Literal["layer_norm", "softmax", "clip_mean"]
