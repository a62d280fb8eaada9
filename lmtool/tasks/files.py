"""Names of a trained network's files. Light: whoever asks whether one is there need not import JAX."""

from __future__ import annotations

WEIGHTS = "weights.safetensors"
POSTERIOR = "posterior.safetensors"
"""Standard deviations of the weights, by the same names, of a model that a variational optimizer trained."""
FACTS = "model.json"

__all__ = ["FACTS", "POSTERIOR", "WEIGHTS"]
