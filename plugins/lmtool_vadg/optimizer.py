"""The component: variational adaptive gradient descent with a schedule of the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optax

from lmtool.training.schedules import learning_rate
from lmtool.training.state import optax_promotion
from lmtool_vadg.vadg import Guide, scale_by_vadg

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool_vadg.config import VADGConfig
    from lmtool_vadg.vadg import Estimate


class VADG:
    """Gradient steps on the mean of a Gaussian over the weights, each gradient taken at a sample of it.

    Without noise (`noise` 0), momentum (`b1` 0), prior (`weight_decay` 0) and with constant curvature (`b2` 1) the step
    is θ ← θ − η∇L, to the bit.
    """

    variational = True

    def __init__(self, config: VADGConfig, *, total_steps: int, num_data: int) -> None:
        self.schedule = learning_rate(config, total_steps)
        self.guide = Guide(
            ess=float(num_data) if config.ess is None else config.ess,
            weight_decay=config.weight_decay,
            noise=config.noise,
            estimate=_estimate(config),
        )
        scale = scale_by_vadg(
            self.guide,
            hess_init=config.hess_init,
            b1=config.b1,
            b2=config.b2,
            clip_radius=config.clip_radius,
            rescale_lr=config.rescale_lr,
            debias=config.debias,
            method=config.method,
        )
        self._descend = optax.chain(scale, optax.scale_by_learning_rate(self.schedule))

    def init(self, params: Any) -> Any:
        return self._descend.init(params)

    def update(self, updates: Any, state: Any, params: Any = None, *, curvature: Any, **extra: Any) -> tuple[Any, Any]:
        with optax_promotion():
            result: tuple[Any, Any] = self._descend.update(updates, state, params, curvature=curvature)
        return result

    def sample_params(self, params: Any, state: Any, *, key: Key) -> Any:
        return self.guide.sample(params, state, key=key)

    def curvature(self, grads: Any, params: Any, weights: Any, state: Any) -> Any:
        return self.guide.curvature(grads, params, weights, state)

    def eval_params(self, params: Any, state: Any) -> Any:
        return params

    def posterior(self, params: Any, state: Any) -> Any:
        return self.guide.deviation(params, state)


def _estimate(config: VADGConfig) -> Estimate:
    if config.method == "vadam":
        return "vadam"
    return config.curvature or "price"
