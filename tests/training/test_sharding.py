"""The step of one device cut up for four: what the devices send each other, and functions that see to it themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

ON_FOUR_DEVICES = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


def on_four_devices(code, *arguments):
    """What a program prints, as JSON."""
    program = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, env=os.environ | ON_FOUR_DEVICES, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_sum_over_rows_and_its_gradients_are_those_of_one_device():
    code = """
    import json
    import jax, jax.numpy as jnp, numpy as np
    from lmtool.sharding import sum_over_rows
    from lmtool.tasks.softmax import weighted_nll
    from lmtool.training.placement import Placement

    keys = jax.random.split(jax.random.key(0), 5)
    h, embedding, bias = (jax.random.normal(key, size) for key, size in zip(keys, [(64, 8), (50, 8), (50,)]))
    targets, weights = jax.random.randint(keys[3], (64,), 0, 50), jax.random.uniform(keys[4], (64,))

    def learn(function):
        loss = lambda h, embedding, bias: function(h, embedding, bias, targets, weights)
        return jax.tree.leaves(jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(h, embedding, bias))

    expected = learn(weighted_nll)
    with Placement(jax.devices()).ambient():
        found = learn(sum_over_rows(weighted_nll, rows=(0, 3, 4)))
    devices = [len(array.sharding.device_set) for array in found]
    apart = [float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(found, expected)]
    print(json.dumps({"devices": devices, "apart": apart, "loss": float(expected[0])}))
    """
    found = on_four_devices(code)

    assert found["devices"] == [4, 4, 4, 4]
    assert max(found["apart"]) < 1e-6 * found["loss"]


def test_a_function_by_batch_and_its_gradients_are_those_of_one_device():
    code = """
    import json
    import jax, jax.numpy as jnp, numpy as np
    from lmtool.matmul import matmul
    from lmtool.sharding import by_batch
    from lmtool.training.placement import Placement

    x, kernel = jax.random.normal(jax.random.key(0), (3, 8, 5)), jax.random.normal(jax.random.key(1), (5, 7))

    def learn(function):
        loss = lambda x, kernel: jnp.sum(jnp.square(function(x, kernel)))
        return jax.tree.leaves(jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, kernel))

    expected = learn(matmul)
    with Placement(jax.devices()).ambient():
        spread = by_batch(matmul, axes=(1, None), out_axes=1)
        found = learn(spread)
        odd = spread(x[:, :3], kernel)  # no four devices share three rows
    apart = [float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(found, expected)]
    print(json.dumps({"apart": apart, "loss": float(expected[0]), "odd": odd.shape}))
    """
    found = on_four_devices(code)

    assert max(found["apart"]) < 1e-6 * found["loss"]
    assert found["odd"] == [3, 3, 7]


@pytest.mark.parametrize(("model", "size"), [("lstm", "hidden_size"), ("gru", "hidden_size"), ("cnn", "channels")])
def test_devices_send_each_other_gradients_once_a_step_and_nothing_of_the_batch(model, size, dataset):
    """Their sizes tell: an all-reduce of as many numbers as there are parameters, the tied embedding in two parts."""
    code = """
    import json, math, re, sys
    from pathlib import Path
    import jax
    from lmtool.config import choose_inline, load_config
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry
    from lmtool.training.placement import Placement
    from lmtool.training.state import as_optimizer, initial_state

    path, model, size = sys.argv[1:]
    registry = Registry(third_party=False)
    settings = [f'data.path="{path}"', f"model.{size}=12", "training.batch_size=8", "training.bptt=12"]
    config = load_config(None, registry, flags={"model.name": model}, overrides=settings)
    training, backbone = config.training, config.model.load()(config.model.config)
    dataset = Dataset.open(Path(path))
    task = config.task.load()(config.task.config, dataset=dataset, backbone=backbone, training=training)
    made = config.optimizer.load()(config.optimizer.config, total_steps=9, num_data=task.num_data)
    optimizer, choice = as_optimizer(made), choose_inline("step", training.step, registry, "training.step")
    placement = Placement(jax.devices())
    step = placement.step(choice.load()(choice.config, task.loss, optimizer, max_grad_norm=0.25, micro_batches=1))
    state = placement.place_state(initial_state(task, optimizer, 0))
    batch = placement.place_batch(task.batch(0), stacked=False)
    with placement.ambient():
        lines = step.lower(state, batch).compile().as_text().splitlines()
    sent = {}
    collective = r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?[(]"
    for line in lines:
        if found := re.search(collective, line):
            shapes = re.findall(r"[[]([0-9,]*)[]]", found[1])
            numbers = sum(math.prod(map(int, filter(None, shape.split(",")))) for shape in shapes)
            sent[found[2]] = sent.get(found[2], 0) + numbers
    leaves = {jax.tree_util.keystr(path): leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)}
    embedding = sum(number for name, number in leaves.items() if "'embedding'" in name)
    print(json.dumps({"sent": sent, "parameters": sum(leaves.values()), "embedding": embedding}))
    """
    found = on_four_devices(code, dataset.path, model, size)

    assert list(found["sent"]) == ["all-reduce"]
    gradients = found["parameters"] + found["embedding"]
    assert gradients <= found["sent"]["all-reduce"] <= gradients + 4  # the loss and the number of targets, too
