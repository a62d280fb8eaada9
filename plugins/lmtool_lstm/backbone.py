"""The LSTM backbone.

References:
    Hochreiter & Schmidhuber, "Long short-term memory", 1997.
    Gers et al., "Learning to forget", 2000 (forget gate; its bias starts at 1: Jozefowicz et al. 2015).
    Sak et al., "Long short-term memory recurrent neural network architectures", 2014 (recurrent projection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.sharding import by_batch
from lmtool_lstm import projected
from lmtool_lstm.cell import unroll
from lmtool_lstm.config import LSTMConfig
from lmtool_lstm.initializers import one_block, uniform
from lmtool_lstm.stack import Stack

if TYPE_CHECKING:
    import jax

    from lmtool_lstm.stack import States


class LSTM(Stack):
    """Stacked LSTM. A layer's states are (c, h), [B, H] each; h is [B, P] with a recurrent projection.

    Gates stand side by side in the order input, forget, cell, output.
    """

    config: LSTMConfig

    def state_sizes(self, size: int) -> tuple[int, int]:
        return size, self.config.projection_size or size

    def read(self, name: str, x: jax.Array, states: States, size: int, *, train: bool) -> States:
        c, h = states
        gates = self.project(name, x, size, 4, one_block(1, 4, self.config.forget_bias))
        kernel = self.recurrent_kernel(name, h.shape[-1], size, 4, train=train)
        if self.config.projection_size:
            projection = self.param(f"{name}_projection_kernel", uniform(size), (size, h.shape[-1]))
            run = by_batch(projected.unroll, axes=(1, None, None, 0, 0), out_axes=(1, 1))
            hs, cs = run(gates, kernel, projection, c, h)
        else:
            hs, cs = by_batch(unroll, axes=(1, None, 0, 0), out_axes=(1, 1))(gates, kernel, c, h)
        return cs, hs
