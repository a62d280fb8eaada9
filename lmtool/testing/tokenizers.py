"""What every tokenizer must do.

What may be lost is declared in two ways. A component with the capability `lossless` gives every line back as it was.
Any other may lose something once (unknown words, white space, case), but what it gives back is its normal form: encoded
again, it has the same ids. `unit` says what one token is, and is held to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from lmtool.config import choose_inline
from lmtool.errors import DataError
from lmtool.registry import Registry
from lmtool.testing.corpus import TINY_TEXT
from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.api import Tokenizer

TORTURE = (
    "",
    " ",
    "a",
    "  two  spaces  ",
    "\ttab\t\tand space ",
    "no-break\xa0space, ideographic\u3000space, thin\u2009space",
    "other line ends \x0b \x0c \x1c \x85 \u2028 \u2029 end nothing",
    "it's  they'll 'tis don't. 1,234.5e-6 x=y; #!/bin/sh __init__ <html>&amp;",
    "naïve café (composed), nai\u0308ve cafe\u0301 (decomposed)",
    "İstanbul ıI ſtraße ΑΣ ΣΑΣ ǅ ﬁ",
    "春眠不覺曉，處處聞啼鳥。𠀀𠮷",
    "한국어 \u1112\u1161\u11ab 日本語 ﾊﾝｶｸ ไทย हिन्दी",
    "שלום עולם مرحبا بالعالم \u202bRTL\u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ✈︎ ①²½ℵ∞",
    "zero\u200bwidth\u2060joiner\ufeffbom\u00adhyphen",
    "control \x00 \x01 \x1b[31m \x7f \x80",
    "private \ue000 \U0010fffd, replacement \ufffd, unassigned \u0378, last \U0010ffff",
    "<unk> <UNK> [UNK] <eos> <EOS> [EOS] </s> <s> <pad> [CLS] [SEP] <|endoftext|> <0x0A> \\n",
    "a" * 3000,
    "word " * 500,
    "ab́" * 200,
)
"""Lines that break tokenizers."""

PLAIN = tuple(TINY_TEXT.splitlines())
"""The training text of all checks."""

_SOME = PLAIN[:20]


def trained(subject: Subject) -> Tokenizer:
    """The tokenizer with a vocabulary from `PLAIN`."""
    tokenizer: Tokenizer = subject.load().train(iter(PLAIN), subject.config)
    return tokenizer


def check_round_trip(subject: Subject) -> None:
    """`decode(encode(line)) == line` for a `lossless` component; for others, what is decoded has the same ids again."""
    tokenizer = trained(subject)
    lossless = "lossless" in subject.component.capabilities
    for line in (*_SOME, *TORTURE):
        ids = tokenizer.encode(line)
        back = tokenizer.decode(ids)
        if lossless:
            assert back == line, f"says it is lossless, but gives {back!r:.80} back for {line!r:.80}"
        again = tokenizer.encode(back)
        assert again == ids, f"{line!r:.80} decodes to {back!r:.80}, which has other ids: {again[:9]}, not {ids[:9]}"


def check_ids(subject: Subject) -> None:
    """Ids are ints from 0 to `vocab_size` - 1; `eos_id` and `unk_id` are such ids, and `eos_id` is in no line."""
    tokenizer = trained(subject)
    assert 0 <= tokenizer.eos_id < tokenizer.vocab_size
    assert tokenizer.unk_id is None or 0 <= tokenizer.unk_id < tokenizer.vocab_size
    assert tokenizer.unk_id != tokenizer.eos_id, "an unknown token and the end of a line need different ids"
    for line in (*_SOME, *TORTURE):
        ids = tokenizer.encode(line)
        assert all(type(i) is int for i in ids), f"`encode` must give ints, got {type(ids[0]).__name__}"
        wrong = [i for i in ids if not 0 <= i < tokenizer.vocab_size]
        assert not wrong, f"ids of {line!r:.80} are not below vocab_size {tokenizer.vocab_size}: {wrong[:5]}"
        assert tokenizer.eos_id not in ids, f"the id of the end of a line is inside {line!r:.80}"


def check_encode_batch(subject: Subject) -> None:
    """`encode_batch` gives what `encode` gives, line by line, `eos_id` after each, however lines are put together."""
    tokenizer = trained(subject)
    lines = (*_SOME, *TORTURE)
    expected = [[*tokenizer.encode(line), tokenizer.eos_id] for line in lines]
    for size in (1, 7, len(lines)):
        for start in range(0, len(lines), size):
            stream = tokenizer.encode_batch(lines[start : start + size])
            assert isinstance(stream, np.ndarray), "`encode_batch` must give an array"
            assert stream.ndim == 1, f"`encode_batch` must give an array [N], got {list(stream.shape)}"
            assert np.issubdtype(stream.dtype, np.integer), f"`encode_batch` must give integers, got {stream.dtype}"
            wanted = [i for ids in expected[start : start + size] for i in ids]
            assert stream.tolist() == wanted, f"differs from `encode` in lines {lines[start : start + size]!r:.200}"
    assert len(tokenizer.encode_batch([])) == 0, "no lines must give no ids"


def check_whole_texts(subject: Subject) -> None:
    """The optional `encode_text` and `train_text` give for a text what comes of its lines."""
    tokenizer = trained(subject)
    lines = (*_SOME, *TORTURE)
    if not hasattr(tokenizer, "encode_text") and not hasattr(subject.load(), "train_text"):
        raise Skipped("it has neither of them")
    if hasattr(tokenizer, "encode_text"):
        for size in (0, 1, len(lines)):
            stream = tokenizer.encode_text("".join(f"{line}\n" for line in lines[:size]))
            assert isinstance(stream, np.ndarray), "`encode_text` must give an array"
            assert stream.tolist() == tokenizer.encode_batch(lines[:size]).tolist(), "`encode_text` gives other ids"
    if hasattr(subject.load(), "train_text"):
        again = subject.load().train_text(["\n".join(PLAIN[:9]), "\n".join(PLAIN[9:])], subject.config)
        assert again.fingerprint == tokenizer.fingerprint, "`train_text` gives another tokenizer than `train`"


def check_decode_lines(subject: Subject) -> None:
    """In `decode`, `eos_id` is a line end: a stream of several lines is the decoded lines."""
    tokenizer = trained(subject)
    lines = (*_SOME[:5], *TORTURE)
    expected = "".join(f"{tokenizer.decode(tokenizer.encode(line))}\n" for line in lines)
    assert tokenizer.decode(tokenizer.encode_batch(lines).tolist()) == expected


def check_unit(subject: Subject) -> None:
    """One token is what `unit` says: a whitespace-separated word, a code point, or a byte of UTF-8."""
    tokenizer = trained(subject)
    assert tokenizer.unit in ("byte", "char", "word", "subword"), f"unknown unit {tokenizer.unit!r}"
    sizes: dict[str, Callable[[str], int]] = {
        "word": lambda line: len(line.split()),
        "char": len,
        "byte": lambda line: len(line.encode()),
    }
    assert isinstance(tokenizer.merges_words, bool), "`merges_words` must say whether different words may share ids"
    if size := sizes.get(tokenizer.unit):
        for line in (*_SOME, *TORTURE):
            got = len(tokenizer.encode(line))
            assert got == size(line), f"{line!r:.80} has {size(line)} {tokenizer.unit}s, but gets {got} tokens"


def check_tokens(subject: Subject) -> None:
    """`tokens` gives a string for every id, never empty, never with a line end."""
    tokenizer = trained(subject)
    tokens = tokenizer.tokens(list(range(tokenizer.vocab_size)))
    assert len(tokens) == tokenizer.vocab_size
    for i, token in enumerate(tokens):
        assert isinstance(token, str), f"token {i} is {token!r}"
        assert token, f"token {i} is empty"
        assert "\n" not in token, f"token {i} holds a line end: {token!r}"


def check_training_is_pure(subject: Subject) -> None:
    """The same text gives the same tokenizer; if other text gives other ids, the fingerprint says so."""
    one, two = trained(subject), trained(subject)
    assert one.fingerprint == two.fingerprint, "two trainings on the same text have different fingerprints"
    other = subject.load().train(iter([*PLAIN[:10], "quite another text"] * 2), subject.config)
    if _sample(other) != _sample(one):
        assert other.fingerprint != one.fingerprint, "two tokenizers with different ids have one fingerprint"


def check_pickle(subject: Subject) -> None:
    """A tokenizer can be sent to other processes, before and after it was used."""
    tokenizer = trained(subject)
    before = pickle.dumps(tokenizer)
    _assert_same(tokenizer, pickle.loads(before), "pickled before use")
    _assert_same(tokenizer, pickle.loads(pickle.dumps(tokenizer)), "pickled after use")


def check_save_load(subject: Subject) -> None:
    """What `save` writes is text, the same each time, and `load` makes the same tokenizer of it."""
    tokenizer = trained(subject)
    with _folder() as one, _folder() as two:
        tokenizer.save(one)
        loaded = subject.load().load(one)
        _assert_same(tokenizer, loaded, "loaded")
        loaded.save(two)
        files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
        for name in files:
            content = (one / name).read_bytes()
            assert content == (two / name).read_bytes(), f"{name} is written differently the second time"
            content.decode()  # raises if it is not text


def check_damage(subject: Subject) -> None:
    """A missing, empty or halved file is a DataError, or at least another fingerprint."""
    tokenizer = trained(subject)
    with _folder() as saved:
        tokenizer.save(saved)
        for path in [path for path in saved.rglob("*") if path.is_file()]:
            content = path.read_bytes()
            for damage in (None, b"", content[: len(content) // 2]):
                path.unlink() if damage is None else path.write_bytes(damage)
                _assert_damage_is_seen(subject, saved, path, tokenizer.fingerprint)
                path.write_bytes(content)


def _assert_damage_is_seen(subject: Subject, folder: Path, path: Path, fingerprint: str) -> None:
    message = None
    try:
        loaded = subject.load().load(folder)
    except DataError as error:
        message = error.message
    if message is None:
        assert loaded.fingerprint != fingerprint, f"nobody notices that {path.name} is damaged"
    else:
        assert path.name in message, f"the error does not name {path.name}: {message}"


def check_other_processes(subject: Subject) -> None:
    """Other processes, with other hash seeds, make the same tokenizer and the same ids of the same text."""
    tokenizer = trained(subject)
    expected = [tokenizer.fingerprint, _sample(tokenizer)]
    name = f"{subject.found.plugin.distribution}:{subject.component.name}"
    settings = json.dumps([name, subject.config.model_dump(mode="json")])
    command = "import sys; from lmtool.testing import tokenizers; tokenizers.report(sys.argv[1])"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", command, settings], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"fails in another process: {done.stderr}"
        assert json.loads(done.stdout.splitlines()[-1]) == expected, f"differs with PYTHONHASHSEED={seed}"


def report(settings: str) -> None:
    """What another process makes of the training text, as JSON on stdout. For `check_other_processes`."""
    name, config = json.loads(settings)
    choice = choose_inline("tokenizer", {"name": name, **config}, Registry(), "tokenizer")
    tokenizer = trained(Subject(choice.found, choice.config))
    print(json.dumps([tokenizer.fingerprint, _sample(tokenizer)]))


def check_no_network(subject: Subject) -> None:
    """Training, encoding, saving and loading open no connection."""

    def forbidden(*_: Any) -> None:
        raise AssertionError("a tokenizer must not use the network")

    with mock.patch.object(socket.socket, "connect", forbidden), _folder() as folder:
        tokenizer = trained(subject)
        tokenizer.save(folder)
        subject.load().load(folder).encode_batch(_SOME)


def _assert_same(one: Tokenizer, two: Tokenizer, how: str) -> None:
    for name in ("fingerprint", "vocab_size", "eos_id", "unk_id", "unit"):
        assert getattr(one, name) == getattr(two, name), f"{how}, it has another {name}"
    assert _sample(one) == _sample(two), f"{how}, it gives other ids"


def _sample(tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = tokenizer.encode_batch([*_SOME, *TORTURE]).tolist()
    return ids


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for a check's files."""
    with tempfile.TemporaryDirectory(prefix="lmtool-check-") as name:
        yield Path(name)


CHECKS = (
    check_round_trip,
    check_ids,
    check_encode_batch,
    check_whole_texts,
    check_decode_lines,
    check_unit,
    check_tokens,
    check_training_is_pure,
    check_pickle,
    check_save_load,
    check_damage,
    check_other_processes,
    check_no_network,
)
