"""Small language models and texts whose figures can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmtool.api import Document, Hypothesis


class Uniform:
    """Every token has the probability 1/V."""

    stateful = False

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def initial_state(self, batch_size: int) -> Any:
        return batch_size

    def score(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        return np.full(ids.shape, -np.log(self.vocab_size), np.float32), state

    def next_log_probs(self, state: Any) -> np.ndarray:
        return np.full((state, self.vocab_size), -np.log(self.vocab_size))


class Bigram:
    """p(token | token before) from a table [V, V]; id 0 ends a line, so each line starts anew."""

    stateful = False

    def __init__(self, table: np.ndarray) -> None:
        with np.errstate(divide="ignore"):
            self.log_table = np.log(np.asarray(table, np.float64))
        self.vocab_size = len(table)

    def initial_state(self, batch_size: int) -> np.ndarray:
        return np.zeros(batch_size, np.int64)

    def score(self, ids: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        read = np.concatenate([state[:, None], ids], axis=1, dtype=np.int64)
        return self.log_table[read[:, :-1], ids], read[:, -1]

    def next_log_probs(self, state: np.ndarray) -> np.ndarray:
        return self.log_table[state]


class Remembering:
    """Stateful: the distribution depends on the sum of all ids since the fresh state, over line ends, too."""

    stateful = True

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        rows = np.random.default_rng(0).dirichlet(np.ones(vocab_size), 7)
        self.log_table = np.log(rows)

    def initial_state(self, batch_size: int) -> np.ndarray:
        return np.zeros(batch_size, np.int64)

    def score(self, ids: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # each token counts for one more than its id, so that line ends (id 0) are remembered, too
        sums = state[:, None] + np.cumsum(ids + 1, axis=1)
        before = np.concatenate([state[:, None], sums[:, :-1]], axis=1)
        return self.log_table[before % 7, ids], sums[:, -1]

    def next_log_probs(self, state: np.ndarray) -> np.ndarray:
        return self.log_table[state % 7]


class Letters:
    """A tokenizer whose tokens are the letters that it is given; id 0 ends a line, id 1 is unknown."""

    unit = "char"
    merges_words = False
    eos_id, unk_id = 0, 1

    def __init__(self, letters: str = "abc") -> None:
        self.letters = letters
        self.vocab_size = len(letters) + 2
        self.fingerprint = f"letters-{letters}"

    def encode(self, line: str) -> list[int]:
        return [self.letters.find(letter) + 2 if letter in self.letters else 1 for letter in line]

    def encode_batch(self, lines: list[str]) -> np.ndarray:
        return np.array([id for line in lines for id in (*self.encode(line), 0)], np.int32)

    def decode(self, ids: list[int]) -> str:
        return "".join("\n?"[id] if id < 2 else self.letters[id - 2] for id in ids)

    def tokens(self, ids: list[int]) -> list[str]:
        return [("<eos>", "<unk>", *self.letters)[id] for id in ids]


class Text:
    """Ids of whole lines with their counts, as a dataset's split has them; remembers what was read."""

    def __init__(self, lines: list[str], tokenizer: Letters) -> None:
        self.ids = tokenizer.encode_batch(lines)
        self.num_tokens, self.num_lines = len(self.ids), len(lines)
        self.num_words = sum(len(line.split()) for line in lines)
        self.num_bytes = sum(len(line.encode()) + 1 for line in lines)
        self.num_unknown = self.num_unknown_bytes = int((self.ids == 1).sum())
        self.largest_read = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= self.num_tokens
        self.largest_read = max(self.largest_read, stop - start)
        return self.ids[start:stop].copy()


class Counting:
    """A classifier of documents: each letter of its labels that the text holds is a vote for that label, and there is
    one vote for each. With `multi_label`, a label has the probability n / (n + 1) of n occurrences."""

    def __init__(self, labels: str = "abc", *, multi_label: bool = False) -> None:
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self.vocab_size = len(labels) + 2
        self.asked: list[int] = []
        """How many documents each call was about."""

    def log_probs(self, documents: Any) -> np.ndarray:
        self.asked.append(len(documents))
        votes = np.array([[document.text.count(label) for label in self.labels] for document in documents], np.float64)
        votes = votes.reshape(-1, len(self.labels))
        with np.errstate(divide="ignore"):
            if self.multi_label:
                return np.log(votes / (votes + 1))
            return np.log((votes + 1) / (votes + 1).sum(axis=1, keepdims=True))

    def save(self, folder: Any) -> None:
        raise NotImplementedError


class LabelledText:
    """Labelled documents of one line each, as a dataset's split has them."""

    has_labels = True

    def __init__(self, texts: list[str], labels: list[str], names: str = "abc") -> None:
        tokenizer = Letters(names)
        self.texts, self.names = texts, names
        self.label_matrix = np.array([[name in label for name in names] for label in labels]).reshape(-1, len(names))
        self.label_ids = self.label_matrix.argmax(axis=1) if len(labels) else np.zeros(0, np.int64)
        self.num_documents = self.num_lines = len(texts)
        self.num_words = sum(len(text.split()) for text in texts)
        self.num_bytes = sum(len(text.encode()) + 1 for text in texts)
        self.num_tokens = len(tokenizer.encode_batch(texts))
        self.num_unknown = 0
        self.tokenizer = tokenizer

    def documents(self) -> Any:
        for text in self.texts:
            yield Document(self.tokenizer.encode_batch([text]), text)


class Spelling:
    """A text model of letters, ids as `Letters` has them: it answers with the first line of the document, its letters
    moved on by `shift` (c becomes a), and gives each right token the probability `sure`. A worse answer repeats it.

    Samples are a letter of the document's number and the seed. What is unknown stays so, and each token attends to the
    id that it comes of.
    """

    def __init__(self, letters: str = "abc", *, shift: int = 0, sure: float = 0.5) -> None:
        self.letters, self.shift, self.sure = letters, shift, sure
        self.vocab_size = self.target_vocab_size = len(letters) + 2
        self.asked: list[int] = []
        """How many documents each call was about."""

    def generate(self, documents: Any, decoding: Any, *, prefixes: Any = None, seed: int = 0, first: int = 0) -> Any:
        self.asked.append(len(documents))
        return [
            self._answers(document, decoding, [] if prefixes is None else list(prefixes[i]), seed, first + i)
            for i, document in enumerate(documents)
        ]

    def _answers(self, document: Any, decoding: Any, begin: list[int], seed: int, number: int) -> list[Hypothesis]:
        ids = self._moved(document)
        sources = list(range(len(ids)))
        if decoding.sample:
            ids, sources = [2 + (number + seed) % len(self.letters)], [0]
        found = []
        for rank in range(1, decoding.n_best + 1):
            whole = np.array((begin + ids * rank)[: decoding.max_length], np.int32)
            attended = np.array(([0] * len(begin) + sources * rank)[: decoding.max_length], np.int32)
            found.append(Hypothesis(whole, -float(rank), -rank / 2, attended))
        return found

    def _moved(self, document: Any) -> list[int]:
        ids = document.ids[: document.ids.tolist().index(0)].tolist()
        return [id if id < 2 else 2 + (id - 2 + self.shift) % len(self.letters) for id in ids]

    def target_log_probs(self, documents: Any, targets: Any) -> list[np.ndarray]:
        right = [np.array([*self._moved(document), 0]) for document in documents]
        padded = [
            np.pad(one, (0, max(0, len(target) + 1 - len(one)))) for one, target in zip(right, targets, strict=True)
        ]
        wrong = (1 - self.sure) / (self.target_vocab_size - 1)
        return [
            np.log(np.where(one[: len(target) + 1] == [*target, 0], self.sure, wrong))
            for one, target in zip(padded, targets, strict=True)
        ]

    def save(self, folder: Any) -> None:
        raise NotImplementedError


class Repeating:
    """Answers each document with its text, and says nothing of how likely that is."""

    vocab_size = target_vocab_size = 5

    def generate(self, documents: Any, decoding: Any, *, prefixes: Any = None, seed: int = 0, first: int = 0) -> Any:
        return [[Hypothesis(document.ids[:-1], 0.0, 0.0, text=document.text)] for document in documents]

    def save(self, folder: Any) -> None:
        raise NotImplementedError


class TextWithTargets:
    """Documents of one line each with targets, as a dataset's split has them."""

    has_targets = True

    def __init__(self, texts: list[str], references: list[tuple[str, ...]], letters: str = "abc") -> None:
        self.texts, self._references, self.tokenizer = texts, references, Letters(letters)
        self.num_documents = self.num_lines = len(texts)
        self.num_words = sum(len(text.split()) for text in texts)
        self.num_bytes = sum(len(text.encode()) + 1 for text in texts)
        self.num_tokens = len(self.tokenizer.encode_batch(texts))
        self.num_unknown = 0

    def documents(self) -> Any:
        for text in self.texts:
            yield Document(self.tokenizer.encode_batch([text]), text)

    def targets(self) -> Any:
        for references in self._references:
            yield np.array(self.tokenizer.encode(references[0]), np.int32)

    def references(self, number: int) -> tuple[str, ...]:
        return self._references[number]
