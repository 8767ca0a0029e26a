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
