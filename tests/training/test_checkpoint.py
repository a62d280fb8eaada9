"""Checkpoints: saved whole, restored to the bit, and a damaged one passed over."""

from __future__ import annotations

import resource
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.errors import DataError
from lmtool.training.checkpoint import Checkpoints


def state(value):
    params = {"kernel": jnp.full((3, 2), value, jnp.float32), "bias": jnp.asarray([0.1, 0.2], jnp.float32)}
    carry = ((jnp.zeros((2, 0, 4)), jnp.ones((2, 3))),)  # an array without elements, as a backbone may have
    return {"params": params, "opt_state": optax.adam(0.1).init(params), "carry": carry, "step": jnp.asarray(7)}


@pytest.fixture
def warnings_():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings_):
    return Checkpoints(tmp_path / "checkpoints", warnings_.append)


def test_what_is_saved_is_restored_to_the_bit(checkpoints):
    saved = state(1 / 3)
    checkpoints.save(7, saved, {"losses": [0.1, 1 / 3]})

    restored, loop = checkpoints.restore(state(0.0))

    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(saved), strict=True))
    assert loop == {"losses": [0.1, 1 / 3]}


def test_without_checkpoints_there_is_nothing_to_restore(checkpoints):
    assert checkpoints.restore(state(0.0)) is None


def test_the_newest_two_and_the_best_are_kept(checkpoints):
    for step in (1, 2, 3, 4):
        checkpoints.save(step, state(step), {}, keep=[1])

    assert checkpoints.steps() == [1, 3, 4]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "loop", "no sums", "sums cut"])
def test_a_damaged_checkpoint_is_named_and_passed_over(checkpoints, warnings_, damage):
    checkpoints.save(1, state(1.0), {"step": 1})
    checkpoints.save(2, state(2.0), {"step": 2})
    newest = checkpoints.folder / "step-00000002"
    files = [path for path in newest.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    largest = newest / "loop.json" if damage == "loop" else max(files, key=lambda path: path.stat().st_size)
    data = largest.read_bytes()
    sums = newest / "SHA256SUMS"
    match damage:
        case "flip" | "loop":
            largest.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        case "cut":
            largest.write_bytes(data[: len(data) // 2])
        case "remove":
            largest.unlink()
        case "no sums":
            sums.write_bytes(b"")
        case "sums cut":
            sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:1]))

    _, loop = checkpoints.restore(state(0.0))

    assert loop == {"step": 1}
    assert len(warnings_) == 1
    assert str(newest if "sums" in damage else largest) in warnings_[0]
    assert "going back" in warnings_[0]


def test_if_every_checkpoint_is_damaged_training_does_not_start_over_by_itself(checkpoints):
    checkpoints.save(1, state(1.0), {"step": 1})
    (checkpoints.folder / "step-00000001" / "loop.json").write_text("{}")

    with pytest.raises(DataError, match=r"loop\.json is damaged") as caught:
        checkpoints.restore(state(0.0))

    assert "--force" in caught.value.hint


def test_a_checkpoint_of_another_model_is_refused(checkpoints):
    checkpoints.save(1, state(1.0), {})
    other = state(0.0)
    other["params"]["kernel"] = jnp.zeros((5, 5))

    with pytest.raises(DataError, match=r"is of another model .* is float32\[3, 2\], not float32\[5, 5\]"):
        checkpoints.restore(other)


def test_a_full_disk_is_one_error_and_keeps_what_there_is(checkpoints):
    checkpoints.save(1, state(1.0), {"step": 1})
    big = {**state(2.0), "params": jnp.zeros((300, 300))}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(DataError, match="cannot write"):
            checkpoints.save(2, big, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)

    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-00000001"]


def test_what_a_killed_process_left_behind_is_not_a_checkpoint(checkpoints):
    checkpoints.save(1, state(1.0), {"step": 1})
    (checkpoints.folder / ".step-00000002.host-1.tmp").mkdir()
    (checkpoints.folder / "step-00000003").mkdir()  # no checksums: not complete

    assert checkpoints.restore(state(0.0))[1] == {"step": 1}
