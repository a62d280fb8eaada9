"""The axis legend and one alias per array; import it under `TYPE_CHECKING`.

B batch, T time steps (bptt), V vocab size, E embedding size, H hidden size, N tokens of a stream
"""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Key = jax.Array
Ids = Int[Array, "B T"]
Mask = Bool[Array, "B T"]
Embedded = Float[Array, "B T E"]
Hidden = Float[Array, "B T H"]
Logits = Float[Array, "B T V"]
Stream = Int[np.ndarray, "N"]
StreamLogProbs = Float[np.ndarray, "N"]
