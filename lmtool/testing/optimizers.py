"""What every optimizer must do: keep its state's form, go downhill, stand still where there is nothing to do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lmtool.testing.subject import Skipped, Subject
from lmtool.training.around import is_variational, observed, rate_factor
from lmtool.training.checkpoint import Checkpoints
from lmtool.training.layerwise import Layers, Layerwise
from lmtool.training.plateau import with_plateau
from lmtool.training.state import as_optimizer, on_device

if TYPE_CHECKING:
    from lmtool.api import Optimizer

STEPS = 400


def _optimizer(subject: Subject, **changes: Any) -> Optimizer:
    known = type(subject.config).model_fields
    config = subject.config.model_copy(update={name: value for name, value in changes.items() if name in known})
    return with_plateau(as_optimizer(subject.load()(config, total_steps=STEPS, num_data=1000)), config)


def _params() -> dict[str, Any]:
    """A matrix, a vector and a scalar, none of them zero."""
    values = {"kernel": np.full((3, 4), 0.5), "bias": np.full((4,), -0.25), "scale": np.full((), 0.75)}
    return {name: jnp.asarray(array, jnp.float32) for name, array in values.items()}


def _target() -> dict[str, Any]:
    return {name: array + 0.5 for name, array in _params().items()}


def _loss(params: Any) -> jax.Array:
    """½‖θ − target‖², whose gradient is θ − target."""
    squares = jax.tree.map(lambda mine, wanted: 0.5 * jnp.sum((mine - wanted) ** 2), params, _target())
    return jnp.sum(jnp.stack(jax.tree.leaves(squares)))


def _step(optimizer: Optimizer, params: Any, state: Any, key: jax.Array) -> tuple[Any, Any]:
    weights = optimizer.sample_params(params, state, key=key)
    updates, state = _update(optimizer, jax.grad(_loss)(weights), state, params, weights)
    return optax.apply_updates(params, updates), state


def _update(optimizer: Optimizer, grads: Any, state: Any, params: Any, weights: Any | None = None) -> tuple[Any, Any]:
    """As the compiled step calls it."""
    if not is_variational(optimizer):
        return optimizer.update(grads, state, params)
    curvature = optimizer.curvature(grads, params, params if weights is None else weights, state)
    return optimizer.update(grads, state, params, curvature=curvature)


def _run(optimizer: Optimizer, steps: int) -> tuple[Any, Any]:
    step = jax.jit(lambda params, state, key: _step(optimizer, params, state, key))
    params, state = _params(), optimizer.init(_params())
    for number in range(steps):
        params, state = step(params, state, jax.random.key(number))
    return params, state


def check_constant_state(subject: Subject) -> None:
    """The state is a pytree of arrays whose structure, shapes and types a step does not change."""
    optimizer = _optimizer(subject)
    before = optimizer.init(_params())
    _, after = _step(optimizer, _params(), before, jax.random.key(0))

    not_arrays = [type(leaf).__name__ for leaf in jax.tree.leaves(before) if not isinstance(leaf, jax.Array)]
    assert not not_arrays, f"the state holds {', '.join(not_arrays)}, not arrays alone"
    forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) for one in (before, after)]
    assert forms[0] == forms[1], f"a step changes the state's form from {forms[0]} to {forms[1]}"


def check_updates_like_params(subject: Subject) -> None:
    """Updates have the parameters' structure, shapes and types; so do sampled weights and those to evaluate."""
    optimizer = _optimizer(subject)
    params, state = _params(), optimizer.init(_params())
    updates, state = _update(optimizer, jax.grad(_loss)(params), state, params)
    sampled = optimizer.sample_params(params, state, key=jax.random.key(0))
    evaluated = optimizer.eval_params(params, state)

    wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
    for name, tree in (("updates", updates), ("sampled weights", sampled), ("weights to evaluate", evaluated)):
        found = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
        assert found == wanted, f"{name} have the form {found}, the parameters {wanted}"


def check_observe(subject: Subject) -> None:
    """A validation's loss, told to an optimizer that asks for it, changes neither the state's form nor the weights."""
    optimizer = _optimizer(subject)
    params, state = _params(), optimizer.init(_params())
    after = observed(optimizer, state, 1.5)

    forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) for one in (state, after)]
    assert forms[0] == forms[1], f"`observe` changes the state's form from {forms[0]} to {forms[1]}"
    _same_bits(optimizer.eval_params(params, after), optimizer.eval_params(params, state), "`observe` moves weights")


def check_quadratic(subject: Subject) -> None:
    """400 steps on a quadratic half a unit away bring the loss to a tenth."""
    optimizer = _optimizer(subject)
    params, state = _run(optimizer, STEPS)
    first, last = float(_loss(_params())), float(_loss(optimizer.eval_params(params, state)))

    assert last < 0.1 * first, f"the loss went from {first:.4f} to {last:.4f}"


def check_no_gradient_no_move(subject: Subject) -> None:
    """Without gradient and without weight decay nothing moves."""
    optimizer = _optimizer(subject, weight_decay=0.0)
    params, state = _params(), optimizer.init(_params())
    zeros = jax.tree.map(jnp.zeros_like, params)

    for _ in range(3):
        updates, state = _update(optimizer, zeros, state, params)
        moved = max(float(jnp.max(jnp.abs(update))) for update in jax.tree.leaves(updates))
        assert moved == 0.0, f"a gradient of zero moves a parameter by {moved:g}"


def check_deterministic(subject: Subject) -> None:
    """The same steps with the same keys give the same bits."""
    one, other = (_run(_optimizer(subject), 5) for _ in range(2))

    _same_bits(one, other, "two runs with the same keys differ")


def check_traced_once(subject: Subject) -> None:
    """Under `jit` the update is traced once and gives what it gives without."""
    optimizer = _optimizer(subject)
    traces = 0

    def update(grads: Any, state: Any, params: Any) -> Any:
        nonlocal traces
        traces += 1
        return _update(optimizer, grads, state, params)

    jitted = jax.jit(update)
    params, state = _params(), on_device(optimizer.init(_params()))
    grads = jax.grad(_loss)(params)
    for _ in range(3):
        plain = _update(optimizer, grads, state, params)
        updates, state = jitted(grads, state, params)
        for mine, theirs in zip(jax.tree.leaves(updates), jax.tree.leaves(plain[0]), strict=True):
            assert np.allclose(mine, theirs, rtol=1e-4, atol=1e-7), "`jit` changes the update"
    assert traces == 1, f"the update was traced {traces} times"


def check_checkpoint(subject: Subject) -> None:
    """A state that is saved and restored is the same to the bit, and so are the steps after it."""
    optimizer = _optimizer(subject)
    before = _run(optimizer, 3)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), lambda message: None)
        checkpoints.save(3, before, {})
        restored = checkpoints.restore((_params(), optimizer.init(_params())))
    assert restored is not None

    _same_bits(restored[0], before, "the restored state differs")
    key = jax.random.key(3)
    params, state = restored[0]
    again = _step(optimizer, params, state, key)
    _same_bits(again, _step(optimizer, before[0], before[1], key), "the step after restoring differs")


def check_schedule(subject: Subject) -> None:
    """The learning rate that it tells, if it does, is a finite number, not below zero, at every step."""
    optimizer = _optimizer(subject)
    schedule = getattr(optimizer, "schedule", None)
    if schedule is None:
        raise Skipped("it tells no learning rate")
    factor = float(rate_factor(optimizer, optimizer.init(_params())))
    for step in (0, 1, STEPS // 2, STEPS - 1):
        rate = float(schedule(step)) * factor
        assert np.isfinite(rate), f"the learning rate of step {step} is {rate}"
        assert rate >= 0, f"the learning rate of step {step} is {rate}"


def check_layers(subject: Subject) -> None:
    """Under `training.rates`: half the rate is half the first update, and what is frozen keeps its bits."""
    optimizer = _optimizer(subject)
    params = _params()
    depths, frozen = (jax.tree.map(lambda _, value=value: value, params) for value in (0, False))
    factors = {"kernel": 0.5, "bias": 1.0, "scale": 0.0}
    scaled = Layerwise(optimizer, Layers(depths, frozen | {"scale": True}, factors))

    grads = jax.grad(_loss)(params)
    whole, _ = _update(optimizer, grads, optimizer.init(params), params)
    half, _ = _update(scaled, grads, scaled.init(params), params)
    assert np.allclose(half["kernel"], 0.5 * whole["kernel"], rtol=1e-4, atol=1e-7), "half the rate is not half the way"
    after, state = _run(scaled, 3)
    for weights in (after, scaled.eval_params(after, state)):
        _same_bits(weights["scale"], params["scale"], "a frozen parameter moves")


def _same_bits(one: Any, other: Any, message: str) -> None:
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.array_equal(mine, theirs), message


# Optimizers that sample weights; the others have these properties by having no samples --------------------------------

SAMPLES = 4000


def check_samples(subject: Subject) -> None:
    """Sampled weights have the parameters as their mean, and the posterior's standard deviation."""
    optimizer = _optimizer(subject)
    if not is_variational(optimizer):
        raise Skipped("it samples no weights")
    params, state = _run(optimizer, 3)
    keys = jax.random.split(jax.random.key(7), SAMPLES)
    drawn = jax.jit(jax.vmap(lambda key: optimizer.sample_params(params, state, key=key)))(keys)
    deviations = optimizer.posterior(params, state)

    for name, deviation in deviations.items():
        moved = np.asarray(drawn[name], np.float64) - np.asarray(params[name], np.float64)
        deviation, rounding = np.asarray(deviation), 1e-6 * np.abs(params[name])
        assert np.all((deviation >= 0) & np.isfinite(deviation)), f"{name} has the deviation {deviation}"
        bound = 5 * deviation / np.sqrt(SAMPLES) + rounding
        assert np.all(np.abs(moved.mean(0)) <= bound), f"samples of {name} are {moved.mean(0)} beside it on average"
        bound = 5 * deviation / np.sqrt(2 * SAMPLES) + rounding
        found = moved.std(0)
        assert np.all(np.abs(found - deviation) <= bound), (
            f"{name} is sampled with {found}, `posterior` says {deviation}"
        )


def check_samples_by_key(subject: Subject) -> None:
    """The same key gives the same sample, another key another one, and no two weights are moved alike."""
    optimizer = _optimizer(subject)
    if not is_variational(optimizer):
        raise Skipped("it samples no weights")
    params, state = _params(), optimizer.init(_params())
    sample = jax.jit(lambda key: optimizer.sample_params(params, state, key=key))
    one, again, other = (sample(jax.random.key(number)) for number in (0, 0, 1))

    _same_bits(one, again, "the same key gives two samples")
    spread = [np.ravel(leaf) for leaf in jax.tree.leaves(optimizer.posterior(params, state))]
    known = [np.ravel(leaf) for leaf in jax.tree.leaves(params)]
    moved = [
        np.concatenate([(np.ravel(leaf) - mean) for leaf, mean in zip(jax.tree.leaves(tree), known, strict=True)])
        for tree in (one, other)
    ]
    is_spread = np.concatenate(spread) > 0
    assert np.all((moved[0] != moved[1])[is_spread]), "two keys move a weight alike"
    assert len(np.unique(moved[0][is_spread])) > 0.9 * is_spread.sum(), "weights are moved alike"


def check_curvature(subject: Subject) -> None:
    """What `curvature` says, like the posterior, has the parameters' structure and shapes, and is finite."""
    optimizer = _optimizer(subject)
    if not is_variational(optimizer):
        raise Skipped("it samples no weights")
    params, state = _params(), optimizer.init(_params())
    weights = optimizer.sample_params(params, state, key=jax.random.key(0))
    curvature = optimizer.curvature(jax.grad(_loss)(weights), params, weights, state)

    wanted = jax.tree.map(jnp.shape, params)
    for name, tree in (("curvature", curvature), ("posterior", optimizer.posterior(params, state))):
        found = jax.tree.map(jnp.shape, tree)
        assert found == wanted, f"`{name}` has the form {found}, the parameters {wanted}"
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree)), f"`{name}` gives {tree}"


CHECKS = (
    check_constant_state,
    check_updates_like_params,
    check_observe,
    check_quadratic,
    check_no_gradient_no_move,
    check_deterministic,
    check_traced_once,
    check_checkpoint,
    check_schedule,
    check_layers,
    check_samples,
    check_samples_by_key,
    check_curvature,
)
