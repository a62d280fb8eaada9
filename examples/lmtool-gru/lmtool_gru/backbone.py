"""A backbone: what `lmtool.api.Backbone` asks for, in Flax Linen."""

import flax.linen as nn
import jax.numpy as jnp

from lmtool_gru.config import GRUConfig


class GRU(nn.Module):
    """[B, T, E] to [B, T, H]; the carry is the last state, [B, H]."""

    config: GRUConfig

    @property
    def features(self):
        return self.config.hidden_size

    def initial_carry(self, batch_size, input_size):
        return jnp.zeros((batch_size, self.features))

    @nn.compact
    def __call__(self, x, mask, carry, *, train):
        # Padding comes last in a row; `seq_lengths` makes the carry that of the last real position.
        lengths = None if mask is None else mask.sum(axis=1)
        layer = nn.RNN(nn.GRUCell(self.features), return_carry=True)
        last, h = layer(x, initial_carry=carry, seq_lengths=lengths)
        if lengths is not None:  # a row of padding only has read nothing
            last = jnp.where(lengths[:, None] > 0, last, carry)
        return h, last
