"""Variational adaptive gradient descent as an optax transformation, and the Gaussian that it keeps.

    guide = Guide(ess=50_000, weight_decay=1e-4)
    optimizer = optax.chain(scale_by_vadg(guide, hess_init=0.05), optax.scale_by_learning_rate(0.5))

    weights = guide.sample(params, opt_state, key=key)
    grads = jax.grad(loss)(weights)
    curvature = guide.curvature(grads, params, weights, opt_state)
    updates, opt_state = optimizer.update(grads, opt_state, params, curvature=curvature)

The functions of the guide find the transformation's state wherever optax has put it. docs/explanation/vadg.md derives
the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lmtool_vadg.noise import normal, words_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.array_types import Key

    Method = Literal["ivon", "vadam"]
    Estimate = Literal["price", "squared-gradient", "vadam"]


class VadgState(NamedTuple):
    """Arrays only, of constant form."""

    count: jax.Array  # type: ignore[assignment] # tuples have a method of that name, as optax's states do
    """int32 [], steps taken."""
    momentum: Any
    """g, mean of gradients; float32, like the parameters."""
    hess: Any
    """h, mean of the mean loss's curvatures; float32, like the parameters. h + δ stays above zero, h itself may not."""


@dataclass(frozen=True)
class Guide:
    """The Gaussian over weights: its mean is the parameters, its precision λ(h + δ) for each by itself.

    Its functions take any optimizer state that holds one `VadgState`, as `optax.chain` and others nest it. Parameters
    that `optax.masked` keeps from the transformation are known for sure.
    """

    ess: float
    """λ, effective sample size: of how many independent targets the mean loss is taken to speak."""
    weight_decay: float = 0.0
    """δ: the prior is a Gaussian around zero of precision λδ."""
    noise: float = 1.0
    """Factor of the standard deviation."""
    estimate: Estimate = "price"
    """price: ε ⊙ ĝ / σ; squared-gradient: λĝ²; vadam: ĝ²."""

    def deviation(self, params: Any, opt_state: Any) -> Any:
        """The standard deviation of each parameter, float32."""
        hess = find_state(opt_state).hess
        return _map(lambda hess, _: self._deviation(hess), hess, params, masked=jnp.zeros_like)

    def sample(self, params: Any, opt_state: Any, *, key: Key) -> Any:
        """Weights drawn from the Gaussian around `params`; `params` themselves without noise."""
        if not self.noise:
            return params

        def one(hess: jax.Array, words: jax.Array, mean: jax.Array) -> jax.Array:
            moved = self._deviation(hess) * normal(mean.shape, words)
            return mean + moved.astype(mean.dtype)

        state, words = find_state(opt_state), words_for(params, key)

        def sampled() -> Any:
            return _map(one, state.hess, words, params, masked=lambda _, mean: mean)

        # Always true, but XLA does not know: it makes the noise once and apart, where it would otherwise make the words
        # anew for each number, and the noise for each of those that use the weights. It ignores barriers on a CPU.
        return jax.lax.cond(state.count >= 0, sampled, lambda: params)

    def curvature(self, grads: Any, params: Any, weights: Any, opt_state: Any) -> Any:
        """ĥ, what one gradient says of the diagonal of the mean loss's Hessian; float32, like the parameters.

        A weight that was not moved from the mean says nothing by `price`: then it is h, so that h stays.

        Args:
            grads: ĝ, of the mean loss at `weights`.
            params: The Gaussian's mean.
            weights: From `sample`.
            opt_state: Before the step.
        """

        def one(hess: jax.Array, grad: jax.Array, mean: jax.Array, drawn: jax.Array) -> jax.Array:
            grad = grad.astype(jnp.float32)
            match self.estimate:
                case "price":
                    moved = drawn.astype(jnp.float32) - mean.astype(jnp.float32)
                    precision = (self.ess / self.noise**2) * (hess + self.weight_decay)
                    return jnp.where(moved == 0, hess, precision * moved * grad)
                case "squared-gradient":
                    return self.ess * jnp.square(grad)
                case "vadam":
                    return jnp.square(grad)

        hess = find_state(opt_state).hess
        if self.estimate == "price" and not self.noise:
            return hess
        return _map(one, hess, grads, params, weights, masked=lambda grad, *_: jnp.zeros_like(grad))

    def _deviation(self, hess: jax.Array) -> jax.Array:
        deviation: jax.Array = self.noise * jax.lax.rsqrt(self.ess * (hess + self.weight_decay))
        return deviation


def scale_by_vadg(
    guide: Guide,
    *,
    hess_init: float = 0.05,
    b1: float = 0.9,
    b2: float = 0.9999,
    clip_radius: float | None = None,
    rescale_lr: bool = True,
    debias: bool = True,
    method: Method = "ivon",
) -> optax.GradientTransformationExtraArgs:
    """The direction of a step of the mean, uphill: follow it with `optax.scale_by_learning_rate`.

    `update` takes `curvature`, the mean of what `Guide.curvature` says of the gradients that were averaged. Weight
    decay is the guide's and is part of the direction: add none.

    Args:
        guide: Whose δ is the weight decay.
        hess_init: h₀, above 0.
        b1: β1, decay of the mean of gradients; 0 takes each as it is.
        b2: β2, decay of the mean of curvatures; 1 leaves it at h₀.
        clip_radius: ξ, to which the quotient of gradient and curvature is cut.
        rescale_lr: Multiply by the first denominator, so that the first direction is the gradient itself.
        debias: Divide the mean of gradients by 1 − β1ᵗ.
        method: ivon divides by h + δ, vadam by √h + δ.

    References:
        Shen et al., "Variational learning is effective for large deep networks", 2024, algorithm 1 (ivon).
        Lin, Schmidt & Khan, "Handling the positive-definite constraint in the Bayesian learning rule", 2020 (the safe
        update of the precision).
        Khan et al., "Fast and scalable Bayesian deep learning by weight-perturbation in Adam", 2018 (vadam). Its
        curvature starts at h₀, not at zero, so that it is not corrected as Adam's is.
    """
    decay = guide.weight_decay

    def init(params: Any) -> VadgState:
        return VadgState(
            count=jnp.zeros((), jnp.int32),
            momentum=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params),
            hess=jax.tree.map(lambda leaf: jnp.full(leaf.shape, hess_init, jnp.float32), params),
        )

    def update(
        updates: Any, state: VadgState, params: Any = None, *, curvature: Any, **extra: Any
    ) -> tuple[Any, VadgState]:
        if params is None:
            raise ValueError("`params` must be given: weight decay pulls them to zero")
        count = state.count + 1
        correction = 1 - b1 ** count.astype(jnp.float32) if debias and b1 else jnp.ones((), jnp.float32)

        momentum = _map(lambda old, new: b1 * old + (1 - b1) * new.astype(jnp.float32), state.momentum, updates)
        hess = _map(new_hess, state.hess, curvature)

        def direction(hess: jax.Array, grad: jax.Array, mean: jax.Array, update: jax.Array) -> Any:
            grad = grad / correction
            if decay:
                grad = grad + decay * mean.astype(jnp.float32)
            # A quotient of denominators, so that it is 1 and the gradient is left as it is while h is h₀.
            found = (first / denominator(hess)) * grad
            if clip_radius is not None:
                found = jnp.clip(found, -clip_radius * first, clip_radius * first)
            return found.astype(update.dtype)

        return _map(direction, hess, momentum, params, updates), VadgState(count, momentum, hess)

    def new_hess(old: jax.Array, found: jax.Array) -> Any:
        if b2 == 1:
            return old
        if method == "vadam":
            return b2 * old + (1 - b2) * found
        change = (1 - b2) * (found - old)
        # Without the square h + δ could become negative; with it, it is at least halved: 1 + r + r²/2 ≥ 1/2.
        return old + change + 0.5 * jnp.square(change) / (old + decay)

    def denominator(hess: Any) -> Any:
        return (jnp.sqrt(hess) if method == "vadam" else hess) + decay

    first = float(denominator(jnp.float32(hess_init))) if rescale_lr else 1.0
    return optax.GradientTransformationExtraArgs(init, update)


def find_state(opt_state: Any) -> VadgState:
    """The `VadgState` in an optimizer state. Raises ValueError if there is none, or more than one."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, VadgState))
    found = [leaf for leaf in leaves if isinstance(leaf, VadgState)]
    if len(found) != 1:
        raise ValueError(f"the optimizer's state must hold one `VadgState`, it holds {len(found)}")
    return found[0]


def _map(
    function: Callable[..., Any], first: Any, *rest: Any, masked: Callable[..., Any] = lambda *rest: optax.MaskedNode()
) -> Any:
    """`jax.tree.map`; where `optax.masked` has taken a leaf out of `first`, `masked` is given those of the others."""

    def one(leaf: Any, *others: Any) -> Any:
        return masked(*others) if _is_masked(leaf) else function(leaf, *others)

    return jax.tree.map(one, first, *rest, is_leaf=_is_masked)


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


__all__ = ["Guide", "VadgState", "find_state", "scale_by_vadg"]
