"""What every backbone must do: read from left to right, hand on its carry, and leave padding alone.

An encoder, whose `causal` is False, reads in both directions: of it is asked all but causality, the carry and what
takes a language model.

Outputs of the same positions computed in windows of other sizes may differ in their last bits; `TOLERANCE` is far above
that and far below any real leak.
"""

from __future__ import annotations

from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lmtool.config import TrainingConfig
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling
from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel

TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 0.05
"""Root mean square of the difference to float32, over that of the output; bfloat16 rounds to 0.4 %."""
BATCH, TIME, EMBEDDING = 3, 12, 8
VOCAB_SIZE, EOS_ID = 11, 0


class _Reader:
    """A backbone with parameters, as a function of arrays."""

    def __init__(self, subject: Subject) -> None:
        self.backbone = subject.load()(subject.config)
        self.carry = self.backbone.initial_carry(BATCH, EMBEDDING)
        self.x = np.random.default_rng(1).normal(size=(BATCH, TIME, EMBEDDING)).astype(np.float32)
        self._init = jax.jit(lambda key: self.backbone.init(key, self.x, None, self.carry, train=False))
        self._apply = jax.jit(self.backbone.apply, static_argnames="train")
        self.params = self.init(0)

    def init(self, seed: int) -> Any:
        return self._init(jax.random.key(seed))

    def __call__(self, x: Any, mask: Any = None, carry: Any = None, **options: Any) -> tuple[np.ndarray, Any]:
        carry = self.carry if carry is None else carry
        h, carry = self._apply(self.params, x, mask, carry, **{"train": False, **options})
        return np.asarray(h), carry


_READERS: dict[str, _Reader] = {}


def _reader(subject: Subject) -> _Reader:
    """One reader for all checks of a subject, so that each shape is compiled once."""
    name = f"{subject.component.target} {subject.config.model_dump_json()}"
    return _READERS.setdefault(name, _READERS.get(name) or _Reader(subject))


def is_causal(subject: Subject) -> bool:
    """False for an encoder."""
    return bool(getattr(subject.load()(subject.config), "causal", True))


def where_causal(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """The same check, skipped for an encoder."""

    @wraps(check)
    def checked(subject: Subject) -> None:
        if not is_causal(subject):
            raise Skipped("it is an encoder, which reads in both directions")
        check(subject)

    return checked


def check_output_shapes(subject: Subject) -> None:
    """`[B, T, E]` gives `[B, T, features]` in float32, and a carry of the form of the one before."""
    read = _reader(subject)
    h, carry = read(read.x)

    assert h.shape == (BATCH, TIME, read.backbone.features), (
        f"the output has shape {h.shape}, not [B, T, features] = {(BATCH, TIME, read.backbone.features)}"
    )
    assert h.dtype == np.float32, f"the output has type {h.dtype}, not float32"
    before, after = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) for one in (read.carry, carry))
    assert before == after, f"the carry changes from {before} to {after}"


@where_causal
def check_outputs_are_causal(subject: Subject) -> None:
    """What comes at position t changes nothing before t."""
    read = _reader(subject)
    whole, _ = read(read.x)

    for t in (1, TIME // 2, TIME - 1):
        changed, _ = read(read.x + 3.0 * (np.arange(TIME) >= t)[None, :, None].astype(np.float32))
        _equal(changed[:, :t], whole[:, :t], f"outputs before position {t} changed with the input at {t} and after")


@where_causal
def check_carry(subject: Subject) -> None:
    """Windows with the carry handed on equal one long window, down to windows of a single position."""
    read = _reader(subject)
    whole, last = read(read.x)

    for size in (TIME // 2, 1):
        pieces, carry = [], None
        for start in range(0, TIME, size):
            piece, carry = read(read.x[:, start : start + size], carry=carry)
            pieces.append(piece)
        _equal(np.concatenate(pieces, axis=1), whole, f"windows of {size} differ from one of {TIME}")
        _equal_trees(carry, last, f"the carry after windows of {size} differs from that after one of {TIME}")


def check_outputs_of_rows_are_apart(subject: Subject) -> None:
    """A row of the batch is read without looking at the others."""
    read = _reader(subject)
    whole, _ = read(read.x)
    changed, _ = read(np.concatenate([read.x[:1], read.x[1:] + 3.0]))

    _equal(changed[0], whole[0], "row 0 changed with the other rows of the batch")


def check_padding(subject: Subject) -> None:
    """Masked positions change neither the other outputs nor the carry, whatever stands there."""
    read = _reader(subject)
    # a carry that is not all zeros, where windows follow each other
    start = read(read.x)[1] if is_causal(subject) else read.carry
    lengths = [TIME, TIME // 2, 0]
    mask = np.arange(TIME)[None] < np.asarray(lengths)[:, None]
    noise = np.where(mask[:, :, None], read.x, np.float32(100.0))
    h, carry = read(noise, mask=mask, carry=start)

    for row, length in enumerate(lengths):
        alone, after = read(read.x[:, :length], carry=start) if length else (h[:, :0], start)
        _equal(h[row, :length], alone[row], f"the outputs before {TIME - length} padded positions changed")
        if not is_causal(subject):
            continue
        mine, other = (jax.tree.map(lambda leaf, row=row: leaf[row], one) for one in (carry, after))
        _equal_trees(mine, other, f"the carry changed over {TIME - length} padded positions")


def check_mask_of_ones(subject: Subject) -> None:
    """`mask=None` and a mask without padding are the same."""
    read = _reader(subject)
    without, carry_without = read(read.x)
    with_mask, carry_with = read(read.x, mask=np.ones((BATCH, TIME), bool))

    _equal(with_mask, without, "a mask of ones changes the output")
    _equal_trees(carry_with, carry_without, "a mask of ones changes the carry")


def check_bfloat16(subject: Subject) -> None:
    """Inputs in bfloat16 give about the same output, in bfloat16 (or float32), and the carry stays float32."""
    read = _reader(subject)
    exact, _ = read(read.x)
    h, carry = read(jnp.asarray(read.x, jnp.bfloat16))
    before, after = (jax.tree.map(lambda leaf: leaf.dtype, one) for one in (read.carry, carry))

    assert h.dtype in (jnp.bfloat16, jnp.float32), f"the output of bfloat16 inputs has type {h.dtype}, not bfloat16"
    assert before == after, f"with bfloat16 inputs the carry's types change from {before} to {after}"
    error = np.sqrt(np.mean((h.astype(np.float32) - exact) ** 2) / np.mean(exact**2))
    assert error <= BFLOAT16_TOLERANCE, f"the output in bfloat16 is {error:.1%} away from that in float32"


@where_causal
def check_loss_ignores_padding(subject: Subject) -> None:
    """Under the `lm` task, neither the loss nor its gradient depends on what stands at masked positions."""
    task, key = _task(subject), jax.random.key(0)
    gradient = jax.jit(jax.value_and_grad(task.loss, has_aux=True))
    params, batch = jax.jit(task.init)(key), task.batch(0)
    mask = np.arange(TIME)[None] < np.asarray([TIME, TIME // 2, 0])[:, None]

    def result(filler: int) -> Any:
        padded = {name: np.where(mask, batch[name], np.int32(filler)) for name in ("inputs", "targets")}
        return gradient(params, task.initial_carry(), {**padded, "mask": mask}, key)

    ((one, (_, num_targets)), grads), ((other, _), other_grads) = result(0), result(VOCAB_SIZE - 1)
    assert num_targets == mask.sum(), f"the loss counts {num_targets} targets, and {mask.sum()} are not padding"
    _equal(one, other, "the loss changed with what stands at padding")
    _equal_trees(grads, other_grads, "the loss's gradient changed with what stands at padding")


def check_same_key_same_params(subject: Subject) -> None:
    """The same key gives the same initial parameters, another key others."""
    read = _reader(subject)

    _equal_trees(read.init(0), read.params, "the same key gives other parameters", tolerance=0.0)
    leaves = zip(jax.tree.leaves(read.init(1)), jax.tree.leaves(read.params), strict=True)
    assert any((one != other).any() for one, other in leaves), "another key gives the same parameters"


def check_dropout_in_training_only(subject: Subject) -> None:
    """With `train=False` no random key is asked for; with `train=True` the same key gives the same output."""
    read = _reader(subject)
    first, _ = read(read.x, train=True, rngs={"dropout": jax.random.key(0)})
    again, _ = read(read.x, train=True, rngs={"dropout": jax.random.key(0)})
    quiet = [read(read.x, train=False)[0] for _ in range(2)]

    _equal(first, again, "the same dropout key gives another output")
    _equal(quiet[0], quiet[1], "`train=False` gives another output each time")


def check_every_parameter_learns(subject: Subject) -> None:
    """The output depends on every parameter, by a finite gradient."""
    read = _reader(subject)

    def loss(params: Any) -> jax.Array:
        h, _ = read.backbone.apply(params, read.x, None, read.carry, train=False)
        return jnp.sum(jnp.sin(h))

    for path, grad in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(read.params)):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), f"the gradient of {name} is not finite"
        assert np.any(grad), f"the gradient of {name} is zero"


@where_causal
def check_overfits_one_batch(subject: Subject) -> None:
    """Under the `lm` task, 150 steps on one batch bring the loss to a tenth; the step is compiled once."""
    task = _task(subject)
    traces = 0

    def loss(params: Any, carry: Any, batch: Any, key: jax.Array) -> Any:
        nonlocal traces
        traces += 1
        return task.loss(params, carry, batch, key)

    adam = optax.adam(0.02)

    @jax.jit
    def step(params: Any, opt_state: Any, batch: Any, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        (value, _), grads = jax.value_and_grad(loss, has_aux=True)(params, task.initial_carry(), batch, key)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = adam.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, value

    params = jax.jit(task.init)(jax.random.key(0))
    opt_state, losses = adam.init(params), []
    for number in range(150):
        params, opt_state, value = step(params, opt_state, task.batch(0), jax.random.key(number))
        losses.append(value)
    nats = -float(np.mean(task.predictor(params).score(_first_rows(task), _fresh(task, params))[0]))
    step(params, opt_state, task.batch(1), jax.random.key(0))

    assert nats < 0.1 * float(losses[0]), f"the loss on one batch fell from {losses[0]:.3f} to {nats:.3f} only"
    assert traces == 1, f"the step was traced {traces} times for batches of one shape"


def language_model(subject: Subject, *, vocab_size: int = VOCAB_SIZE, eos_id: int = EOS_ID) -> LanguageModel:
    """The backbone under the `lm` task, with initial parameters: a language model for `lmtool.testing`'s checks."""
    task = _task(subject, vocab_size=vocab_size, eos_id=eos_id)
    return task.predictor(jax.jit(task.init)(jax.random.key(0)))


def _task(subject: Subject, *, vocab_size: int = VOCAB_SIZE, eos_id: int = EOS_ID) -> LanguageModelling:
    ids = np.random.default_rng(0).integers(vocab_size, size=4 * BATCH * TIME).astype(np.int32)
    split = SimpleNamespace(name="train", num_tokens=len(ids), read=lambda start, stop: ids[start:stop])
    dataset: Any = SimpleNamespace(
        split=lambda name: split, tokenizer=SimpleNamespace(vocab_size=vocab_size, eos_id=eos_id)
    )
    training = TrainingConfig.model_validate({"batch_size": BATCH, "bptt": TIME})
    config = LMConfig.model_validate({"dropout": 0.0, "shift": False})
    return LanguageModelling(config, dataset=dataset, backbone=subject.load()(subject.config), training=training)


def _first_rows(task: LanguageModelling) -> np.ndarray:
    return task.batch(0)["targets"]


def _fresh(task: LanguageModelling, params: Any) -> Any:
    """The state of a predictor before the first batch, which knows the token before each row."""
    state = task.predictor(params).initial_state(BATCH)
    return state._replace(last=jnp.asarray(task.batch(0)["inputs"][:, 0]))


def _equal(one: Any, other: Any, message: str, tolerance: float = TOLERANCE) -> None:
    difference = np.max(np.abs(np.asarray(one) - np.asarray(other)), initial=0.0)
    assert difference <= tolerance, f"{message}, by up to {difference:.2g}"


def _equal_trees(one: Any, other: Any, message: str, tolerance: float = TOLERANCE) -> None:
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        _equal(mine, theirs, message, tolerance)


CHECKS = (
    check_output_shapes,
    check_outputs_are_causal,
    check_carry,
    check_outputs_of_rows_are_apart,
    check_padding,
    check_mask_of_ones,
    check_bfloat16,
    check_loss_ignores_padding,
    check_same_key_same_params,
    check_dropout_in_training_only,
    check_every_parameter_learns,
    check_overfits_one_batch,
)
