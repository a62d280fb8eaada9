"""Subwords by the Hugging Face `tokenizers` library: byte-level BPE that is learned here, or any `tokenizer.json`."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tokenizers

from lmtool.errors import DataError
from lmtool_tokenizers import vocabulary
from lmtool_tokenizers.pieces import PieceCache, can_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lmtool_tokenizers.config import BPEConfig

FILE, SETTINGS = "tokenizer.json", "bpe.json"
EOS_NAMES = ("<eos>", "</s>", "<|endoftext|>", "<|end_of_text|>", "<|eos|>", "[EOS]", "<EOS>", "<s/>")
"""What the end of a text is called in the files that are about, the likeliest first."""

_RARE = "é春🎉"
"""What a vocabulary without an unknown token may not have."""

LONGEST_LINE = 10_000
"""Characters of a line that the vocabulary is learned from as a whole."""


class BPETokenizer:
    """Subwords. What is learned here is lossless; a file may lose what its normalizer, decoder or model loses.

    Special tokens (such as the end of a line) are never found in text: their spelling is text like any other.

    Args:
        text: The contents of a `tokenizer.json`.
        eos: The special token that stands for the end of a line; None to look for it, and to add one at the end of the
            vocabulary if there is none.
        where: The file's name, for messages.

    Raises:
        DataError: if the library does not take the file, or it has no such token.
    """

    unit: Literal["subword"] = "subword"

    def __init__(self, text: str, eos: str | None = None, where: str = FILE) -> None:
        self._model = _parse(text, where)
        _check_encodes_all(self._model, where)
        self.eos = eos or _find_eos(self._model)
        if self.eos is None:
            self.eos = _new_name(self._model, where)
            self._model.add_special_tokens([self.eos])
            text = self._model.to_str()
        self.text = text
        if self._model.token_to_id(self.eos) is None or _is_spelt(self._model, self.eos):
            raise DataError(f"'{self.eos}' is no special token of {where}", hint="leave `tokenizer.eos` out")
        ids = self._model.get_vocab(with_added_tokens=True).values()
        self.vocab_size: int = max(ids) + 1
        self.eos_id: int = self._model.token_to_id(self.eos)
        described = json.loads(text)
        self.unk_id: int | None = _find_unk(self._model, described["model"])
        self._cache = PieceCache(self._encode_apart, self.eos_id) if can_cache(described) else None

    @classmethod
    def train(cls, lines: Iterable[str], config: BPEConfig) -> BPETokenizer:
        if config.file is not None:
            tokenizer = cls(_read(Path(config.file)), config.eos, config.file)
            tokenizer._warn_of_losses(config.file)
            return tokenizer
        from tokenizers import decoders, models, pre_tokenizers, trainers

        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size,
            min_frequency=config.min_count,
            special_tokens=[EOS_NAMES[0]],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        _interruptibly(lambda: model.train_from_iterator(vocabulary.batches(_cut(lines)), trainer))
        return cls(model.to_str(), EOS_NAMES[0])

    def _warn_of_losses(self, where: str) -> None:
        lost = [character for character in _RARE if not self.encode(character)]
        if lost:
            logging.getLogger("lmtool").warning(
                f"{where} gives no token for '{lost[0]}' and others that it does not know: they are left out without "
                "a trace, and what is measured per word or byte is too low"
            )

    @property
    def merges_words(self) -> bool:
        return self._model.normalizer is not None

    @cached_property
    def fingerprint(self) -> str:
        # Of the file as it stands: what another version of the library would write for it may differ.
        return hashlib.sha256(f"bpe\0{self.eos}\0{self.text}".encode()).hexdigest()

    def encode(self, line: str) -> list[int]:
        if "\n" in line:
            raise ValueError("a line must not hold a line end")
        return self._encode_apart([line])[0]

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        if any("\n" in line for line in lines):
            raise ValueError("a line must not hold a line end")
        if self._cache:
            return self._cache.encode_batch(lines)
        ids = [i for line in self._encode_apart(lines) for i in (*line, self.eos_id)]
        return np.array(ids, np.int32)

    def _encode_apart(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._model.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        lines: list[list[int]] = [[]]
        for i in ids:
            if i == self.eos_id:
                lines.append([])
            else:
                lines[-1].append(int(i))
        return "\n".join(self._model.decode_batch(lines, skip_special_tokens=False))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """As in the vocabulary: in byte-level BPE, `Ġ` stands for a space."""
        return [self._model.id_to_token(int(i)) or f"<{i}>" for i in ids]

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(self.text, encoding="utf-8")
        (folder / SETTINGS).write_text(json.dumps({"eos": self.eos}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> BPETokenizer:
        try:
            eos = json.loads(_read(folder / SETTINGS))["eos"]
            return cls(_read(folder / FILE), eos, str(folder / FILE))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder / SETTINGS} is damaged: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return BPETokenizer, (self.text, self.eos)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BPETokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _parse(text: str, where: str) -> Any:
    try:
        model = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{where} is no tokenizer.json that the library 'tokenizers' takes: {error}") from None
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    if getattr(model.model, "dropout", None):
        model.model.dropout = None  # the same text has the same ids
    return model


def _check_encodes_all(model: Any, where: str) -> None:
    """Raise DataError if there is text that the model fails on, as the library does for lack of an unknown token."""
    try:
        model.encode_batch(["a b", "\U0010fffd", "</s>"], add_special_tokens=False)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{where} cannot encode every text: {error}", hint="give it an unknown token") from None


def _cut(lines: Iterable[str]) -> Iterator[str]:
    """Long lines in pieces, before a space if there is one: the library's time grows with the square of a word."""
    for line in lines:
        start = 0
        while len(line) - start > LONGEST_LINE:
            space = line.rfind(" ", start + 1, start + LONGEST_LINE)
            end = space if space > 0 else start + LONGEST_LINE
            yield line[start:end]
            start = end
        yield line[start:]


def _interruptibly(work: Callable[[], None]) -> None:
    """Work in another thread, so that a signal reaches this one while the library computes."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]


def _find_eos(model: Any) -> str | None:
    special = {token.content for token in model.get_added_tokens_decoder().values() if token.special}
    return next((name for name in EOS_NAMES if name in special and not _is_spelt(model, name)), None)


def _is_spelt(model: Any, name: str) -> bool:
    """Whether text that holds the name gives the token, which must stand for line ends alone."""
    token = model.token_to_id(name)
    texts = [name, f"a {name} b", f"a{name}b"]
    return any(token in one.ids for one in model.encode_batch(texts, add_special_tokens=False))


def _new_name(model: Any, where: str) -> str:
    ids = model.get_vocab(with_added_tokens=True).values()
    if ids and len(ids) != max(ids) + 1:  # the library would give the new token an id that another has
        raise DataError(f"{where} has {len(ids)} tokens with ids up to {max(ids)}, so none can be added for line ends",
                        hint="`tokenizer.eos` names a special token of it")  # fmt: skip
    names = (EOS_NAMES[0], *(f"<eos-{n}>" for n in range(1000)))
    return next(name for name in names if model.token_to_id(name) is None)


def _find_unk(model: Any, described: dict[str, Any]) -> int | None:
    if described.get("unk_id") is not None:
        return int(described["unk_id"])
    token = described.get("unk_token")
    return None if token is None else model.token_to_id(token)
