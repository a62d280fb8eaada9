"""Optimizers as optax transformations, with their schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optax

from lmtool.training.schedules import learning_rate
from lmtool.training.state import DeterministicOptimizer
from lmtool_descent.decay import decayed

if TYPE_CHECKING:
    from lmtool_descent.config import (
        AdafactorConfig,
        AdamWConfig,
        DecayConfig,
        LionConfig,
        RMSpropConfig,
        SGDConfig,
    )


def sgd(config: SGDConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """θ ← θ − η∇L; with momentum μ: v ← μv + ∇L, θ ← θ − ηv."""
    return DeterministicOptimizer(*sgd_updates(config, total_steps))


def sgd_updates(config: SGDConfig, total_steps: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The transformation, and its learning rate."""
    schedule = learning_rate(config, total_steps)
    descend = optax.sgd(schedule, momentum=config.momentum or None, nesterov=config.nesterov)
    return optax.chain(decayed(config), descend), schedule


def adamw(config: AdamWConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """Adam with decoupled weight decay.

    References:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
        Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """
    return descent(config, total_steps, optax.scale_by_adam(config.b1, config.b2, config.eps))


def rmsprop(config: RMSpropConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """The gradient over the root of a moving mean of its squares.

    References:
        Tieleman & Hinton, "Lecture 6.5: RMSprop", Coursera, 2012.
        Graves, "Generating sequences with recurrent neural networks", 2013, section 4.2 (centered).
    """
    scale = optax.scale_by_stddev if config.centered else optax.scale_by_rms
    momentum = [optax.trace(config.momentum)] if config.momentum else []
    return descent(config, total_steps, scale(config.decay, config.eps, eps_in_sqrt=False), *momentum)


def adafactor(config: AdafactorConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """Adam without momentum whose squares of a matrix [N, M] are kept as N + M sums.

    References:
        Shazeer & Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, algorithm 4.
    """
    parts = [
        optax.scale_by_factored_rms(decay_rate=config.decay_rate, min_dim_size_to_factor=config.min_size_to_factor)
    ]
    if config.clip is not None:
        parts.append(optax.clip_by_block_rms(config.clip))
    if config.momentum:
        parts.append(optax.ema(config.momentum, debias=False))
    if config.relative:
        parts.append(optax.scale_by_param_block_rms())
    return descent(config, total_steps, *parts)


def lion(config: LionConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """The sign of an interpolation between momentum and gradient.

    References:
        Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.
    """
    return descent(config, total_steps, optax.scale_by_lion(config.b1, config.b2))


def descent(config: DecayConfig, total_steps: int, *parts: optax.GradientTransformation) -> DeterministicOptimizer:
    """θ ← θ − η(u + λθ), where u is what the parts make of the gradient."""
    schedule = learning_rate(config, total_steps)
    descend = optax.chain(*parts, decayed(config), optax.scale_by_learning_rate(schedule))
    return DeterministicOptimizer(descend, schedule)
