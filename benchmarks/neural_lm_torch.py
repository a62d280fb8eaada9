"""The peer of `neural_lm.py`: the same language models and the same training step in PyTorch. Needs torch and numpy.

    echo 20 | python benchmarks/neural_lm_torch.py '{"model": "lstm", "layers": 2, "size": 650}'

takes 20 steps and prints what they took. Each line on stdin asks for so many steps; settings left out are those of
`SETTINGS`. With "peak" as its model it multiplies matrices instead.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np  # noqa: TID253 - a program of its own
import torch
from torch import Tensor, nn
from torch.nn import functional

SETTINGS: dict[str, Any] = {
    "model": "lstm",
    "layers": 1,
    "size": 256,
    "kernel": 4,
    "vocab": 10_000,
    "batch": 20,
    "bptt": 35,
    "dropout": 0.2,
    "precision": "float32",
    "device": "cpu",
    "threads": 2,
    "ids": None,
    "matrix": 2048,
}
INITIAL_RANGE = 0.1
LEARNING_RATE = 1.0
MAX_GRAD_NORM = 0.25


class LockedDropout(nn.Module):
    """One mask for all time steps of a window. x: [T, B, H]."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        keep = 1 - self.rate
        return x * (torch.empty(1, *x.shape[1:], dtype=x.dtype, device=x.device).bernoulli_(keep) / keep)


class GatedCNN(nn.Module):
    """Gated causal convolutions in residual blocks of one layer. x: [T, B, H]."""

    def __init__(self, layers: int, size: int, kernel: int) -> None:
        super().__init__()
        self.context = kernel - 1
        self.layers = nn.ModuleList(nn.Conv1d(size, 2 * size, kernel) for _ in range(layers))

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y = x.permute(1, 2, 0)
        for layer in self.layers:
            y = (y + functional.glu(layer(functional.pad(y, (self.context, 0))), dim=1)) * 0.5**0.5
        return y.permute(2, 0, 1), state


class LanguageModel(nn.Module):
    """Embedding, LSTM or gated CNN, output layer tied to the embedding."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        size, layers = settings["size"], settings["layers"]
        self.embedding = nn.Embedding(settings["vocab"], size)
        nn.init.uniform_(self.embedding.weight, -INITIAL_RANGE, INITIAL_RANGE)
        self.dropout = LockedDropout(settings["dropout"])
        is_lstm = settings["model"] == "lstm"
        self.backbone = nn.LSTM(size, size, layers) if is_lstm else GatedCNN(layers, size, settings["kernel"])
        self.output = nn.Linear(size, settings["vocab"])
        self.output.weight = self.embedding.weight
        nn.init.zeros_(self.output.bias)

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Ids [T, B] to logits [T, B, V]."""
        h, state = self.backbone(self.dropout(self.embedding(inputs)), state)
        return self.output(self.dropout(h)), state


def windows(settings: dict[str, Any]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Gives inputs and targets, [T, B] each, window after window of streams side by side."""
    batch, bptt = settings["batch"], settings["bptt"]
    if settings["ids"]:
        ids = np.load(settings["ids"]).astype(np.int64)
    else:
        ids = np.random.default_rng(0).integers(settings["vocab"], size=batch * (bptt * 100 + 1))
    streams = torch.from_numpy(ids[: len(ids) // batch * batch].reshape(batch, -1).T.copy()).to(settings["device"])
    starts = range(0, len(streams) - bptt - 1, bptt)
    step = 0

    def window() -> tuple[Tensor, Tensor]:
        nonlocal step
        start = starts[step % len(starts)]
        step += 1
        return streams[start : start + bptt], streams[start + 1 : start + bptt + 1]

    return window


def detached(state: Any) -> Any:
    return None if state is None else tuple(part.detach() for part in state)


def training_step(settings: dict[str, Any]) -> Callable[[], Any]:
    model = LanguageModel(settings).to(settings["device"]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, fused=True)
    cast = torch.autocast(settings["device"], torch.bfloat16, enabled=settings["precision"] == "bfloat16")
    window, state = windows(settings), None

    def step() -> Tensor:
        nonlocal state
        inputs, targets = window()
        optimizer.zero_grad(set_to_none=True)
        with cast:
            logits, state = model(inputs, detached(state))
            loss = functional.cross_entropy(logits.view(-1, settings["vocab"]), targets.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        return loss.detach()

    return step


def product(settings: dict[str, Any]) -> Callable[[], Any]:
    """A matrix product, as fast as this machine does it."""
    dtype = getattr(torch, settings["precision"])
    a = torch.randn(settings["matrix"], settings["matrix"], device=settings["device"]).to(dtype)
    return lambda: a @ a


def take_turns(work: Callable[[], Any], wait: Callable[[], None], peak: Callable[[], int]) -> None:
    """For each number on stdin: so many steps, then a line of JSON with the seconds of each and of all."""
    for line in sys.stdin:
        stamps = [time.perf_counter()]
        for _ in range(int(line)):
            work()
            stamps.append(time.perf_counter())
        wait()
        total = time.perf_counter() - stamps[0]
        seconds = [after - before for before, after in pairwise(stamps)]
        if peak():  # a GPU works on while the host's clock is read
            seconds = [total / len(seconds)]
        print(json.dumps({"seconds": seconds, "total": total, "device_bytes": peak()}), flush=True)


def main() -> None:
    settings = SETTINGS | json.loads(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(settings["threads"])
    on_gpu = settings["device"] == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = on_gpu  # as JAX multiplies float32 on a GPU unless told otherwise
    work = product(settings) if settings["model"] == "peak" else training_step(settings)
    if on_gpu:
        take_turns(work, torch.cuda.synchronize, torch.cuda.max_memory_allocated)
    else:
        take_turns(work, lambda: None, lambda: 0)


if __name__ == "__main__":
    main()
