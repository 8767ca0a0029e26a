"""Why one implementation's words differ from another's: guesses, each tried on the words.

Every guess predicts words at some places of a value: at places where the two differ, and at others
where they agree. A guess that predicts all of them is the cause; one that predicts most is said to
be partial. Guesses are about one node whose operands agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxp.guesses import Cause, Guess, Places, guesses_about
from fxp.ir import Graph, IntArray, Node
from fxp.permutations import swapped
from fxp.validate import describe

PLACES = 512  # at which a guess is tried, of each sort


@dataclass(frozen=True)
class Explanation:
    """A cause and what it says.

    Of `differing` words tried, it predicts `explained`; of `equal` words tried, it wrongly moves
    `moved`.
    """

    cause: Cause
    text: str
    explained: int = 0
    differing: int = 0
    moved: int = 0
    equal: int = 0


def explain(
    graph: Graph, exact: Mapping[str, IntArray], node: Node, found: IntArray
) -> Explanation:
    """Why `found` differs from `exact[node.name]`, both `(T, C, V)`.

    Args:
        graph: the network.
        exact: all of its values.
        node: the first node that differs.
        found: the other implementation's words of it.
    """
    expected = exact[node.name]
    if (order := swapped(expected, found)) is not None:
        count = int(np.count_nonzero(expected != found))
        return Explanation(Cause.PERMUTATION, order, count, count, 0, expected.size - count)
    at = _places(expected != found)
    nodes = {other.name: other for other in graph.nodes}
    guesses = guesses_about(node, nodes, describe(graph), exact, at)
    words, right = at.of(found), at.of(expected)
    best: Explanation | None = None
    for guess in guesses:
        tried = _tried(guess, words, right, at.differing)
        if tried.explained and (best is None or _rank(tried) > _rank(best)):
            best = tried
        if tried.differing and tried.explained == tried.differing and not tried.moved:
            break  # nothing later can do better
    if best is None or 2 * best.explained < best.differing or 10 * best.moved > best.equal:
        return Explanation(Cause.UNKNOWN, "no guess predicts these words")
    return best


def _rank(tried: Explanation) -> int:
    return tried.explained - tried.moved


def _tried(guess: Guess, found: Sequence[int], right: Sequence[int], differing: int) -> Explanation:
    hits = [word == predicted for word, predicted in zip(found, guess.words, strict=True)]
    if not hits[0]:  # the very word that is reported
        return Explanation(guess.cause, guess.text)
    explained = sum(hits[:differing])
    return Explanation(
        guess.cause,
        guess.text,
        explained,
        differing,
        len(right) - differing - sum(hits[differing:]),
        len(right) - differing,
    )


def _places(differs: npt.NDArray[np.bool_]) -> Places:
    """The first places that differ and evenly spaced others, in the order of the frames."""
    wrong, same = np.flatnonzero(differs), np.flatnonzero(~differs)
    wrong, same = wrong[:PLACES], same[:: max(1, len(same) // PLACES)][:PLACES]
    where = np.unravel_index(np.concatenate((wrong, same)), differs.shape)
    frame, channel, joint = (axis.astype(np.int64) for axis in where)
    return Places(frame, channel, joint, len(wrong))
