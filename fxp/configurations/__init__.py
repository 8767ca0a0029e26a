"""Many graphs on one set of clips, alike in part: what they share is computed once."""

from fxp.configurations.evaluate import Outcome, evaluate_all, outcomes

__all__ = ["Outcome", "evaluate_all", "outcomes"]
