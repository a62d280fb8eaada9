"""A peer of `seq2seq.py`: the same network, batches, training step and beam search in PyTorch. Needs torch and numpy.

The encoder's second direction reads each source from its own end: by packed sequences, or by turning the ids of each
row around, which needs no packing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253 - a program of its own
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Encoder(nn.Module):
    """Both directions of a GRU, [B, S, 2 H]."""

    def __init__(self, size: int, hidden: int, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        if packed:
            self.both = nn.GRU(size, hidden, batch_first=True, bidirectional=True)
        else:
            self.forwards, self.backwards = (nn.GRU(size, hidden, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if self.packed:
            states, _ = self.both(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            return pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]
        places = torch.arange(x.shape[1])[None]
        turned = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
        rows = torch.arange(len(x))[:, None]
        return torch.cat([self.forwards(x)[0], self.backwards(x[rows, turned])[0][rows, turned]], dim=2)


class Model(nn.Module):
    """Encoder, a vector of it in the place of a begin token, GRU, general attention, a tanh layer, tied output."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        size, vocab = settings["size"], settings["vocab"]
        self.source = nn.Embedding(vocab, size)
        self.embedding = nn.Embedding(vocab, size)
        self.encoder = Encoder(size, size, settings["packed"])
        self.begin = nn.Linear(4 * size, size)
        self.decoder = nn.GRU(size, size, batch_first=True)
        self.keys = nn.Linear(2 * size, size, bias=False)
        self.combine = nn.Linear(3 * size, size)
        self.bias = nn.Parameter(torch.zeros(vocab))
        for table in (self.source, self.embedding):
            nn.init.uniform_(table.weight, -0.1, 0.1)
        self.dropout = nn.Dropout(settings["dropout"])

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States, keys, what of them is padding, and the begin vector."""
        states = self.encoder(self.dropout(self.source(ids)), lengths)
        padding = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        half = states.shape[2] // 2
        last = torch.cat([states[torch.arange(len(ids)), lengths - 1, :half], states[:, 0, half:]], dim=1)
        mean = (states * ~padding[:, :, None]).sum(1) / lengths[:, None]
        return states, self.keys(states), padding, self.begin(torch.cat([last, mean], dim=1))

    def attend(self, h: Tensor, states: Tensor, keys: Tensor, padding: Tensor) -> Tensor:
        """Decoder's states [B, T, H] to what the vocabulary is compared with, the same."""
        shares = (h @ keys.transpose(1, 2)).masked_fill(padding[:, None], -torch.inf).softmax(dim=2)
        return self.dropout(torch.tanh(self.combine(torch.cat([shares @ states, h], dim=2))))

    def logits(self, h: Tensor) -> Tensor:
        return functional.linear(h, self.embedding.weight, self.bias)

    def forward(self, source: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        states, keys, padding, begin = self.encode(source, lengths)
        x = torch.cat([begin[:, None], self.dropout(self.embedding(targets[:, :-1]))], dim=1)
        return self.attend(self.decoder(x)[0], states, keys, padding)


def training_step(model: Model, settings: dict[str, Any]) -> Callable[[dict[str, Tensor]], Any]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], fused=True)

    def step(batch: dict[str, Tensor]) -> None:
        optimizer.zero_grad(set_to_none=True)
        h = model(batch["source"], batch["lengths"], batch["targets"])
        functional.cross_entropy(model.logits(h[batch["mask"]]), batch["targets"][batch["mask"]]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
        optimizer.step()

    return step


def decoding(model: Model, settings: dict[str, Any]) -> Callable[[dict[str, Tensor]], Any]:
    model.eval()

    def decode(batch: dict[str, Tensor]) -> None:
        with torch.inference_mode():
            search(model, batch, settings["beam"], settings["length"], settings["eos_id"])

    return decode


def search(model: Model, batch: dict[str, Tensor], beam: int, length: int, eos_id: int) -> Tensor:
    """int64 [B, K, L]: the last live hypotheses; those that end are counted, and a row is done when K have."""
    states, keys, padding, x = model.encode(batch["source"], batch["lengths"])
    rows, ids = len(x), torch.zeros(len(x), beam, 0, dtype=torch.long)
    x, h = x.repeat_interleave(beam, dim=0), None
    scores = torch.full((rows, beam), -torch.inf)
    scores[:, 0] = 0.0
    ended = torch.zeros(rows, dtype=torch.long)
    first = torch.arange(rows)[:, None] * beam
    for _ in range(length):
        out, h = model.decoder(x[:, None], h)
        log_probs = model.logits(model.attend(out.view(rows, beam, -1), states, keys, padding)).log_softmax(dim=2)
        if beam == 1:
            tokens = log_probs[:, 0].argmax(dim=1, keepdim=True)
            ended += tokens[:, 0] == eos_id
            ids = torch.cat([ids, tokens[:, :, None]], dim=2)
        else:
            totals = (scores[:, :, None] + log_probs).view(rows, -1)
            values, places = totals.topk(2 * beam, dim=1)
            is_end = places % model.bias.shape[0] == eos_id
            ended += is_end[:, :beam].sum(dim=1)
            scores, order = values.masked_fill(is_end, -torch.inf).topk(beam, dim=1)
            places = places.gather(1, order)
            parents, tokens = places // model.bias.shape[0], places % model.bias.shape[0]
            ids = torch.cat([ids.gather(1, parents[:, :, None].expand_as(ids)), tokens[:, :, None]], dim=2)
            h = h[:, (first + parents).view(-1)]
        if bool((ended >= beam).all()):
            break
        x = model.embedding(tokens.reshape(-1))
    return ids


def batches(file: Path) -> list[dict[str, Tensor]]:
    with np.load(file) as arrays:
        count = 1 + max(int(name.split("_")[1]) for name in arrays.files)
        names = {name.split("_")[0] for name in arrays.files}
        return [{name: torch.from_numpy(arrays[f"{name}_{i}"]) for name in names} for i in range(count)]


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(settings["threads"])
    model = Model(settings)
    is_training = settings["work"] == "train"
    work = training_step(model, settings) if is_training else decoding(model, settings)
    found = batches(Path(settings["folder"]) / f"{settings['work']}.npz")
    # The first turn, for warming up, has the first ones; the second one begins where lmtool's does.
    at, warm = 0, True
    for line in sys.stdin:
        turn = [found[(at + number) % len(found)] for number in range(int(line))]
        start = time.perf_counter()
        for batch in turn:
            work(batch)
        print(json.dumps({"total": time.perf_counter() - start}), flush=True)
        at, warm = (settings["first"] if warm else at + len(turn)), False


if __name__ == "__main__":
    main()
