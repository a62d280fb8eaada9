"""Decoding: from a decoder's next-token probabilities to answers. Knows nothing of networks, texts or datasets.

A decoder is a function `step(memory, state, ids [B, K]) -> (log_probs [B, K, V], attention [B, K, S] | None, state)`,
`Step`; `decode` gives padded `Answers` on the device, `hypotheses` makes lists of them:

    answers = jax.jit(partial(decode, step, target=Target(vocab_size, eos_id, max_length), decoding=config))(state)
    found = hypotheses(answers)  # list[list[lmtool.api.Hypothesis]]
"""

from __future__ import annotations

from lmtool.decoding.constraints import Prefixes
from lmtool.decoding.result import Answers, hypotheses
from lmtool.decoding.search import decode
from lmtool.decoding.selection import log_softmax
from lmtool.decoding.steps import LEAST, Step, Target

__all__ = ["LEAST", "Answers", "Prefixes", "Step", "Target", "decode", "hypotheses", "log_softmax"]
