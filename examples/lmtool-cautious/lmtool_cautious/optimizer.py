"""What the descriptor's target names."""

import jax
import jax.numpy as jnp
import optax


def cautious(config, *, total_steps, num_data):
    """An optax transformation from the settings."""
    adam = optax.scale_by_adam()

    def update(grads, state, params=None):
        updates, state = adam.update(grads, state, params)
        return jax.tree.map(agreeing, updates, grads), state

    return optax.chain(
        optax.GradientTransformation(adam.init, update),
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_learning_rate(config.learning_rate),
    )


def agreeing(update, grad):
    """The update where it has the gradient's sign, scaled up by how much that leaves out."""
    agrees = (update * grad > 0).astype(update.dtype)
    return update * agrees / jnp.maximum(agrees.mean(), 0.001)
