"""A peer of `classify.py`: the same classifier, batches and training step in PyTorch. Needs torch and numpy.

Batches come ready-made; those that are "padded" have all documents at the same width.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from classify_batches import Padded, Turns, padded
from torch import Tensor, nn
from torch.nn import functional

Tensors = tuple[Tensor, Tensor, Tensor]


class Classifier(nn.Module):
    """Embedding, LSTM, and classes from the state after the last token."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        size = settings["size"]
        self.embedding = nn.Embedding(settings["vocab"], size)
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.head = nn.Linear(size, settings["classes"])

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Ids [B, T] to logits [B, C]. States are looked up, as packed sequences are slower on CPUs."""
        h, _ = self.lstm(self.embedding(inputs))
        return self.head(h[torch.arange(len(h)), lengths - 1])


def tensors(batch: Padded, settings: dict[str, Any]) -> Tensors:
    if settings["padded"]:
        batch = padded(batch.documents(), batch.targets, settings["filler"], settings["max_length"])
    return torch.from_numpy(batch.inputs).long(), torch.from_numpy(batch.lengths), torch.from_numpy(batch.targets)


def training_step(model: Classifier, settings: dict[str, Any]) -> Callable[[Tensors], Any]:
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"], fused=True)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16")

    def step(batch: Tensors) -> None:
        inputs, lengths, targets = batch
        optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = functional.cross_entropy(model(inputs, lengths), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
        optimizer.step()

    return step


def prediction(model: Classifier) -> Callable[[Tensors], Any]:
    model.eval()

    def predict(batch: Tensors) -> Tensor:
        with torch.inference_mode():
            return functional.log_softmax(model(*batch[:2]), dim=-1)

    return predict


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(settings["threads"])
    model = Classifier(settings)
    is_training = settings["work"] == "train"
    work = training_step(model, settings) if is_training else prediction(model)
    turns = Turns(Path(settings["folder"]) / ("train.npz" if is_training else "test.npz"), settings["first"])
    for line in sys.stdin:
        batches = [tensors(batch, settings) for batch in turns.take(int(line))]
        start = time.perf_counter()
        for batch in batches:
            work(batch)
        print(json.dumps({"total": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
