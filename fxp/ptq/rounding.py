"""Which way each weight is rounded, by what the layer's output makes of it.

A layer computes `W x`. With the Gram matrix `H = E[x x^T]` of its operand the mean squared error of
quantised weights Q is `sum_o (w_o - q_o) H (w_o - q_o)^T`: quadratic, row by row. Rounding each
weight to the nearest word minimises it only for white operands.

- `gptq`: column by column, the error of a rounded column is made up for by those still open
  (Frantar et al., "GPTQ", 2022, algorithm 1; the columns of largest variance first).
- `adaround`: the choice between the two neighbouring words of each weight is relaxed to a rectified
  sigmoid, pushed to 0 or 1 while the error falls (Nagel et al., "Up or Down?", 2020, equations 21
  to 25), by Adam.

  What the relaxation ends in, and the nearest words too, are then improved weight by
  weight as far as that goes, and the better one of the two is kept, row by row.

Both return weights on the grid of their format, so that lowering them rounds nothing any more.
"""

from __future__ import annotations

import numpy as np

from fxp.cast import FloatArray, IntArray

DAMPING = 0.01  # of the mean variance: H may be singular
_STEPS = 400
_RATE = 0.02
_WARM = 0.2  # share of the steps without the push to 0 or 1
_PUSH = 0.01
_BETA = (20.0, 2.0)
_LOW, _HIGH = -0.1, 1.1  # the rectified sigmoid's stretch (zeta and gamma there)


def gptq(weight: FloatArray, gram: FloatArray, word_bits: int, frac_bits: IntArray) -> FloatArray:
    """Weights (rows, n) on the grid of (word_bits, frac_bits (rows,)), error fed forward.

    Args:
        weight: float weights, a row an output.
        gram: mean of `x x^T` over operands x (n,).
        word_bits, frac_bits: the format, one binary point a row.
    """
    damped = _damped(gram)
    order = np.argsort(-np.diag(damped), kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse, upper=True)
    rest = weight[:, order].copy()
    done = np.empty_like(rest)
    for column in range(rest.shape[1]):
        done[:, column] = nearest(rest[:, [column]], word_bits, frac_bits)[:, 0]
        error = (rest[:, column] - done[:, column]) / upper[column, column]
        rest[:, column:] -= np.outer(error, upper[column, column:])
    result = np.empty_like(done)
    result[:, order] = done
    return result


def adaround(
    weight: FloatArray, gram: FloatArray, word_bits: int, frac_bits: IntArray
) -> FloatArray:
    """Weights (rows, n) on the grid, each rounded down or up as the layer's output likes it best.

    Arguments as `gptq`. Never worse than rounding to the nearest, and never improved by rounding a
    single weight the other way.
    """
    lsb = np.ldexp(1.0, -frac_bits)[:, None]
    low, high = -(2 ** (word_bits - 1)), 2 ** (word_bits - 1) - 1
    floor = np.floor(weight / lsb)
    scaled = weight / lsb
    metric = _damped(gram) / np.trace(gram).clip(min=1e-30) * len(gram)
    start = ((scaled - floor) - _LOW) / (_HIGH - _LOW)
    logits = np.log(start / (1 - start))
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    for step in range(1, _STEPS + 1):
        sigmoid = 1 / (1 + np.exp(-logits))
        up = (sigmoid * (_HIGH - _LOW) + _LOW).clip(0, 1)
        inside = (up > 0) & (up < 1)
        error = (floor + up).clip(low, high) - scaled
        slope = 2 * error @ metric + _push(up, step)
        slope = np.where(inside, slope * sigmoid * (1 - sigmoid) * (_HIGH - _LOW), 0.0)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        logits -= _RATE * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    learnt = (floor + (logits >= 0)).clip(low, high)
    plain = np.ldexp(nearest(weight, word_bits, frac_bits), frac_bits[:, None])
    words = _flipped(
        np.stack([learnt, plain]), scaled, floor.clip(low, high), (floor + 1).clip(low, high), gram
    )
    errors = np.stack([output_error(scaled, choice, gram) for choice in words])
    best = np.take_along_axis(words, errors.argmin(axis=0)[None, :, None], axis=0)[0]
    return np.asarray(best * lsb)


def _flipped(
    words: FloatArray, scaled: FloatArray, down: FloatArray, up: FloatArray, gram: FloatArray
) -> FloatArray:
    """Take the other neighbour of one weight a row, that which helps most, until none helps.

    words `(..., rows, n)`; what comes back cannot be improved by changing a single weight.
    """
    words = words.copy()
    for _ in range(4 * words.shape[-1]):
        change = np.where(words == down, up, down) - words
        slope = 2 * (words - scaled) @ gram
        gain = change * slope + change**2 * np.diag(gram)
        at = gain.argmin(axis=-1)[..., None]
        helps = np.take_along_axis(gain, at, -1) < -1e-12 * np.trace(gram)
        if not helps.any():
            break
        moved = np.take_along_axis(words + change, at, -1)
        kept = np.take_along_axis(words, at, -1)
        np.put_along_axis(words, at, np.where(helps, moved, kept), -1)
    return words


def nearest(weight: FloatArray, word_bits: int, frac_bits: IntArray) -> FloatArray:
    """Weights (rows, n) rounded half up and saturated, as lowering does it."""
    scaled = np.ldexp(weight, frac_bits[:, None])
    floor = np.floor(scaled)
    raw = floor + (scaled - floor >= 0.5)
    words = raw.clip(-(2 ** (word_bits - 1)), 2 ** (word_bits - 1) - 1)
    return np.asarray(np.ldexp(words, -frac_bits[:, None]))


def output_error(weight: FloatArray, quantised: FloatArray, gram: FloatArray) -> FloatArray:
    """Mean squared error of each row's output, (rows,)."""
    error = weight - quantised
    return np.asarray(((error @ gram) * error).sum(axis=1))


def _damped(gram: FloatArray) -> FloatArray:
    mean = float(np.diag(gram).mean())
    return gram + np.eye(len(gram)) * (DAMPING * mean if mean > 0 else 1.0)


def _push(up: FloatArray, step: int) -> FloatArray:
    """The slope of `_PUSH * (1 - |2 up - 1|**beta)`, beta falling over the steps."""
    progress = step / _STEPS
    if progress < _WARM:
        return np.zeros_like(up)
    share = (progress - _WARM) / (1 - _WARM)
    beta = _BETA[1] + (_BETA[0] - _BETA[1]) * (1 - share)
    centred = 2 * up - 1
    strength = np.abs(centred) ** (beta - 1)
    return np.asarray(-_PUSH * 2 * beta * np.sign(centred) * strength)
