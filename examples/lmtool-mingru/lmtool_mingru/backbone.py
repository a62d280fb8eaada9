"""A backbone: what `lmtool.api.Backbone` asks for, in Flax Linen."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool_mingru.config import MinGRUConfig


class MinGRU(nn.Module):
    """[B, T, E] to [B, T, H]; the carry is the last state, [B, H]."""

    config: MinGRUConfig

    @property
    def features(self):
        return self.config.hidden_size

    def initial_carry(self, batch_size, input_size):
        return jnp.zeros((batch_size, self.features))

    @nn.compact
    def __call__(self, x, mask, carry, *, train):
        # Products are in x's type, float32 or bfloat16; what runs through time is float32.
        update, new = (nn.Dense(self.features, dtype=x.dtype)(x).astype(jnp.float32) for _ in range(2))
        update, new = nn.sigmoid(update), jnp.tanh(new)
        if mask is not None:  # padding leaves the state as it is
            update = jnp.where(mask[:, :, None], update, 0.0)
        # h = (1 - update) * h + update * new is linear in h, and so are several such steps at once: decay * h + added.
        decay, added = jax.lax.associative_scan(_then, (1 - update, update * new), axis=1)
        h = decay * carry[:, None] + added
        return h.astype(x.dtype), h[:, -1]


def _then(first, second):
    """Both steps in one."""
    return first[0] * second[0], first[1] * second[0] + second[1]
