"""The one exception that means "the input is wrong", and how a command ends on it.

Anything a user can get wrong (a file, a YAML key, a shape, a value out of range) raises
`InputError` with one line that names the place, the value and the rule. Commands print that line
to stderr and exit with code 2; every other exception is a bug and keeps its traceback.
"""

from __future__ import annotations


class InputError(ValueError):
    """Wrong input from outside: one line, naming where, what was found and what is allowed."""


class FormatError(InputError):
    """A number format or a cast that cannot exist."""


class GraphError(InputError):
    """A graph that breaks a rule of the IR (the message names the node)."""


class EngineError(InputError):
    """An engine computed a word that the definition does not give: not the input is at fault.

    Commands end on it as on wrong input: with one line, and no result.

    Attributes:
        node: whose value it is.
        frame: which frame of that value, counted from the beginning of the clip.
        channel: which channel.
        joint: which joint.
        found: the engine's word.
        expected: the right one.
    """

    def __init__(
        self, node: str, frame: int, channel: int, joint: int, found: int, expected: int
    ) -> None:
        """Name a word, and say what it is and should be."""
        super().__init__(
            f"node `{node}`: frame {frame}, channel {channel}, joint {joint}: the engine has "
            f"{found}, the definition {expected}"
        )
        self.node, self.frame, self.channel, self.joint = node, frame, channel, joint
        self.found, self.expected = found, expected
