"""A peer of `answers.py`: the same network, weights and search in PyTorch. Needs torch and numpy."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253 - a program of its own
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

Weights = dict[str, Tensor]


def recurrent(weights: Weights, prefix: str, cell: str, both: bool) -> nn.LSTM | nn.GRU:
    """A layer with lmtool's weights, which it takes away. The gates stand in PyTorch's order."""
    inputs, gates = weights[f"{prefix}/layer_0_input_kernel"].shape
    kind, count = {"lstm": (nn.LSTM, 4), "gru": (nn.GRU, 3)}[cell]
    size = gates // count
    module = kind(inputs, size, batch_first=True, bidirectional=both)
    for direction, suffix in [("", ""), ("_backward", "_reverse")][: 1 + both]:
        of = f"{prefix}/layer_0{direction}"
        recurrent_bias = torch.zeros(gates)
        if cell == "gru":  # only that of the new state, which is not added to the input's
            recurrent_bias[2 * size :] = weights.pop(f"{of}_recurrent_bias")
        parts = {"weight_ih": weights.pop(f"{of}_input_kernel").T, "weight_hh": weights.pop(f"{of}_recurrent_kernel").T,
                 "bias_ih": weights.pop(f"{of}_bias"), "bias_hh": recurrent_bias}  # fmt: skip
        for name, value in parts.items():
            getattr(module, f"{name}_l0{suffix}").data.copy_(value)
    module.flatten_parameters()
    return module


class Model:
    """Encoder, a vector of it in the place of a begin token, decoder, general attention, a tanh layer, tied output."""

    def __init__(self, weights: Weights, cell: str) -> None:
        self.encoder = recurrent(weights, "encoder", cell, both=True)
        self.decoder = recurrent(weights, "backbone", cell, both=False)
        self.embedding, self.bias = weights.pop("embedding"), weights.pop("output_bias")
        self.source = weights.pop("source_embedding", self.embedding)
        self.keys, self.combine = weights.pop("attention_0/key_kernel"), weights.pop("combine_0/kernel").T.contiguous()
        self.begin = weights.pop("begin/kernel"), weights.pop("begin/bias")
        if weights:
            sys.exit(f"a network of another kind: nobody read {', '.join(weights)}")

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """States, keys, what of them is padding, and the begin vector."""
        packed = pack_padded_sequence(self.source[ids], lengths, batch_first=True, enforce_sorted=False)
        states = pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=ids.shape[1])[0]
        padding = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        ends = states[torch.arange(len(ids)), lengths - 1], states[:, 0]
        mean = (states * ~padding[:, :, None]).sum(1) / lengths[:, None]
        begin = torch.cat([*ends, mean], dim=1) @ self.begin[0] + self.begin[1]
        return states, states @ self.keys, padding, begin

    def step(self, x: Tensor, carry: Any, memory: tuple[Tensor, ...], beam: int) -> tuple[Tensor, Any]:
        """[B K, E] to log-probabilities [B, K, V]."""
        states, keys, padding = memory
        out, carry = self.decoder(x[:, None], carry)
        h = out.view(len(states), beam, -1)
        shares = (h @ keys.transpose(1, 2)).masked_fill(padding[:, None], -torch.inf).softmax(dim=2)
        h = torch.tanh(functional.linear(torch.cat([shares @ states, h], dim=2), self.combine))
        return functional.linear(h, self.embedding, self.bias).log_softmax(dim=2), carry


def reordered(carry: Any, rows: Tensor) -> Any:
    return tuple(one[:, rows] for one in carry) if isinstance(carry, tuple) else carry[:, rows]


def penalty(length: int) -> float:
    return (5.0 + length) / 6.0


def greedy(model: Model, ids: Tensor, lengths: Tensor, length: int, eos_id: int) -> list[list[int]]:
    *memory, x = model.encode(ids, lengths)
    carry, done, told = None, torch.zeros(len(ids), dtype=torch.bool), []
    for _ in range(length):
        log_probs, carry = model.step(x, carry, tuple(memory), 1)
        tokens = log_probs[:, 0].argmax(dim=1)
        done = done | (tokens == eos_id)
        told.append(torch.where(done, -1, tokens))
        if bool(done.all()):
            break
        x = model.embedding[tokens]
    return [[token for token in row if token >= 0] for row in torch.stack(told, dim=1).tolist()]


def search(model: Model, ids: Tensor, lengths: Tensor, beam: int, length: int, eos_id: int) -> list[list[int]]:
    """The best answers that end, by the rules of lmtool's beam search."""
    *memory, x = model.encode(ids, lengths)
    rows, vocab = len(ids), len(model.bias)
    x, carry = x.repeat_interleave(beam, dim=0), None
    scores = torch.full((rows, beam), -torch.inf)
    scores[:, 0] = 0.0
    told = torch.zeros(rows, beam, length, dtype=torch.long)
    best, best_score, best_length = told[:, 0].clone(), torch.full((rows,), -torch.inf), torch.zeros(rows).long()
    ended, done = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.bool)
    first = torch.arange(rows)[:, None] * beam
    for number in range(length):
        log_probs, carry = model.step(x, carry, tuple(memory), beam)
        values, places = (scores[:, :, None] + log_probs).view(rows, -1).topk(2 * beam, dim=1)
        is_end = places % vocab == eos_id
        ends = values[:, :beam].masked_fill(~is_end[:, :beam], -torch.inf) / penalty(number)
        score, which = ends.max(dim=1)
        better = (score > best_score) & ~done
        source = told[torch.arange(rows), places[torch.arange(rows), which] // vocab]
        best = torch.where(better[:, None], source, best)
        best_score, best_length = torch.where(better, score, best_score), torch.where(better, number, best_length)
        ended += is_end[:, :beam].sum(dim=1)
        scores, order = values.masked_fill(is_end, -torch.inf).topk(beam, dim=1)
        done = done | (ended >= beam) | (best_score >= scores[:, 0] / penalty(length))
        if bool(done.all()):
            break
        places = places.gather(1, order)
        parents, tokens = places // vocab, places % vocab
        told = told.gather(1, parents[:, :, None].expand_as(told))
        told[:, :, number] = tokens
        carry = reordered(carry, (first + parents).view(-1))
        x = model.embedding[tokens.reshape(-1)]
    cut = torch.isinf(best_score)
    best, best_length = torch.where(cut[:, None], told[:, 0], best), torch.where(cut, length, best_length)
    return [row[:end] for row, end in zip(best.tolist(), best_length.tolist(), strict=True)]


def answer_all(model: Model, texts: list[Tensor], settings: dict[str, Any], eos_id: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in texts]
    numbers = list(range(len(texts)))
    if settings["sorted"]:
        numbers.sort(key=lambda number: len(texts[number]))
    for start in range(0, len(numbers), settings["batch"]):
        some = numbers[start : start + settings["batch"]]
        ids = pad_sequence([texts[number] for number in some], batch_first=True)
        lengths = torch.tensor([len(texts[number]) for number in some])
        if settings["beam"] == 1:
            answers = greedy(model, ids, lengths, settings["length"], eos_id)
        else:
            answers = search(model, ids, lengths, settings["beam"], settings["length"], eos_id)
        for number, one in zip(some, answers, strict=True):
            found[number] = one
    return found


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    folder = Path(settings["folder"])
    facts = json.loads((folder / "facts.json").read_text())
    with np.load(folder / "weights.npz") as arrays:
        weights = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    with np.load(folder / "texts.npz") as arrays:
        texts = [torch.from_numpy(arrays[name]) for name in sorted(arrays.files)]
    model = Model(weights, facts["cell"])
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            found = answer_all(model, texts, settings, facts["eos_id"])
        print(json.dumps({"total": time.perf_counter() - start, "ids": found}), flush=True)


if __name__ == "__main__":
    main()
