"""Weights of a log-linear mixture: Newton's method on held-out text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmtool.evaluation import cut
from lmtool_mixture.loglinear import normalised
from lmtool_mixture.tuning import held_out, mapped, windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmtool.data.dataset import Dataset
    from lmtool_mixture.ensemble import Ensemble

logger = logging.getLogger("lmtool.mixture")

TOLERANCE = 1e-9
"""Nats per token that the next step would win at most."""
MAX_ITERATIONS = 50
NUMBERS_AT_ONCE = 1 << 22
"""Numbers of the table that are looked at together."""


class Sample(NamedTuple):
    """Some positions of the held-out text."""

    log_probs: np.ndarray
    """float32 [N, P, V], nats: the distributions that the parts gave there; memory-mapped."""
    targets: np.ndarray
    """int64 [N], what came."""


class Slope(NamedTuple):
    """The mean log-likelihood as a function of the weights, near some weights."""

    log_likelihood: float
    gradient: np.ndarray
    """float64 [P]."""
    curvature: np.ndarray
    """float64 [P, P], the negative of the second derivatives: the mean covariance of the parts' log-probabilities."""


def tune(sample: Sample) -> np.ndarray:
    """The weights under which a log-linear mixture gives the sample the highest likelihood, float64 [P].

    The log-likelihood is concave in the weights, so Newton's method with a step that is halved until it helps finds
    them.
    """
    parts = sample.log_probs.shape[1]
    weights = np.full(parts, 1 / parts)
    here = slope(sample, weights)
    for _ in range(MAX_ITERATIONS):
        # Least squares: parts that say the same have no weights of their own, only a sum.
        step = np.linalg.lstsq(here.curvature, here.gradient, rcond=1e-10)[0]
        gain = float(step @ here.gradient)
        if gain / 2 <= TOLERANCE:
            return weights
        weights, here = _climb(sample, weights, step, here, gain)
    logger.warning("log-linear weights had not settled after %d iterations", MAX_ITERATIONS)
    return weights


def _climb(sample: Sample, weights: np.ndarray, step: np.ndarray, here: Slope, gain: float) -> tuple[np.ndarray, Slope]:
    """The weights after as much of a step as raises the likelihood by a fair share of what it promises."""
    size = 1.0
    while size > 1e-6:
        there = slope(sample, weights + size * step)
        if there.log_likelihood >= here.log_likelihood + 1e-4 * size * gain:
            return weights + size * step, there
        size /= 2
    return weights, here._replace(gradient=np.zeros_like(here.gradient))  # float32 says no more


def slope(sample: Sample, weights: np.ndarray) -> Slope:
    """Value and derivatives; positions where a part rules out what came count for nothing: no weights help there."""
    total, gradient, curvature, count = 0.0, np.zeros(len(weights)), np.zeros((len(weights),) * 2), 0
    rows = max(1, NUMBERS_AT_ONCE // sample.log_probs[0].size)
    for start in range(0, len(sample.targets), rows):
        block = np.asarray(sample.log_probs[start : start + rows], np.float64)
        targets = sample.targets[start : start + rows]
        of_targets = np.take_along_axis(block, targets[:, None, None], axis=2)[..., 0]
        possible = (of_targets > -np.inf).all(axis=1)
        block, of_targets = block[possible], of_targets[possible]
        mixed = normalised(block.transpose(1, 0, 2), weights)
        block[np.isneginf(block)] = 0.0  # the mixture gives nothing there, so any number will do
        weighted = block * np.exp(mixed)[:, None]
        means = weighted.sum(axis=2)
        total += float(np.take_along_axis(mixed, targets[possible, None], axis=1).sum())
        gradient += (of_targets - means).sum(axis=0)
        curvature += np.tensordot(weighted, block, axes=([0, 2], [0, 2])) - means.T @ means
        count += len(means)
    return Slope(total / max(count, 1), gradient / max(count, 1), curvature / max(count, 1))


def read_sample(
    ensemble: Ensemble, dataset: Dataset, size: int, batch_size: int, scratch: Path, progress: Callable[[float], None]
) -> Sample:
    """About `size` positions of the `valid` split, evenly spaced, each after all the text before it.

    Args:
        ensemble: Starts each of `batch_size` pieces from a fresh state.
        dataset: Has a `valid` split.
        size: About so many, one a piece more at most; each takes 4 bytes of disk a part and word of the vocabulary.
        batch_size: B.
        scratch: A folder for the file.
        progress: Called with the fraction that is done.
    """
    split = held_out(dataset)
    streams = cut(split, dataset.eos_id, batch_size)
    stride = -(-split.num_tokens // size)
    rows = sum(-(-(stop - start) // stride) for start, stop in streams)
    shape = rows, ensemble.size, ensemble.vocab_size
    table = mapped(scratch / "valid.npy", np.float32, shape)
    targets = np.empty(rows, np.int64)
    state, done = ensemble.initial_state(len(streams)), 0
    for ids, is_text in windows(split, streams, dataset.eos_id, length=stride):
        wanted = is_text[:, 0]
        here = slice(done, done + int(wanted.sum()))
        table[here] = ensemble.next_log_probs(state)[:, wanted].swapaxes(0, 1)
        targets[here] = ids[wanted, 0]
        _, state = ensemble.score(ids, state)
        done = here.stop
        progress(done / rows)
    return Sample(table, targets)
