"""Byte-level BPE that is learned, files of the Hugging Face library, and the shortcut past its own loop."""

from __future__ import annotations

import json
import signal
import sys
import time
import unicodedata

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from lmtool.errors import DataError
from lmtool.testing.corpus import TINY_TEXT
from lmtool.testing.tokenizers import TORTURE
from lmtool_tokenizers import bpe
from lmtool_tokenizers.bpe import BPETokenizer
from lmtool_tokenizers.config import BPEConfig

METASPACE = {"pre_tokenizer": pre_tokenizers.Metaspace(), "decoder": decoders.Metaspace()}
LINES = TINY_TEXT.splitlines()


@pytest.fixture(scope="module")
def learned():
    return BPETokenizer.train(LINES, BPEConfig(vocab_size=400))


def theirs(tmp_path, model, special=(), normalizer=None, pre_tokenizer=None, decoder=None):
    """A tokenizer.json that somebody else made."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer, tokenizer.decoder = normalizer, decoder
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.Whitespace()
    trainer = {
        "WordPiece": trainers.WordPieceTrainer,
        "BPE": trainers.BpeTrainer,
        "WordLevel": trainers.WordLevelTrainer,
        "Unigram": trainers.UnigramTrainer,
    }[type(model).__name__]
    options = {"unk_token": "<unk>"} if trainer is trainers.UnigramTrainer else {}
    tokenizer.train_from_iterator(LINES, trainer(special_tokens=list(special), show_progress=False, **options))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tokenizer, BPEConfig(file=str(tmp_path / "tokenizer.json"))


def without_shortcut(tokenizer):
    other = BPETokenizer(tokenizer.text, tokenizer.eos)
    other._cache = None
    return other


def test_learned_vocabulary(learned):
    assert learned.vocab_size == 400
    assert learned.eos_id == 0
    assert learned.unk_id is None
    assert learned.tokens(learned.encode("The ferryman"))[0].startswith("T")
    assert len(learned.encode_batch(LINES)) < len(TINY_TEXT) / 2


def test_what_is_written_is_a_tokenizer_json_of_the_library(learned, tmp_path):
    learned.save(tmp_path)
    loaded = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    assert [loaded.encode(line).ids for line in LINES] == [learned.encode(line) for line in LINES]
    assert loaded.token_to_id("<eos>") == learned.eos_id


def test_the_shortcut_gives_what_the_library_gives(learned):
    slow = without_shortcut(learned)
    spaces = [chr(i) for i in range(sys.maxunicode) if chr(i).isspace() or unicodedata.category(chr(i))[0] in "CZ"]
    spaces = [space for space in spaces if unicodedata.category(space) not in ("Cs", "Co", "Cn") and space != "\n"]
    lines = [*TORTURE, *(f"a{space}b {space} c{space}{space}d" for space in spaces)]

    assert learned._cache is not None
    assert learned.encode_batch(lines).tolist() == slow.encode_batch(lines).tolist()
    assert learned.encode_batch(lines).tolist() == slow.encode_batch(lines).tolist()  # now that pieces are known


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.sampled_from(" \t'srevmlda1２½_.!—éñ中\u0308🎉\x01\x85\xa0\u3000"), max_size=30), max_size=5)
)
def test_the_shortcut_gives_what_the_library_gives_for_any_text(learned, lines):
    assert learned.encode_batch(lines).tolist() == without_shortcut(learned).encode_batch(lines).tolist()


def test_the_shortcut_forgets(learned, monkeypatch):
    monkeypatch.setattr("lmtool_tokenizers.pieces.LIMIT", 20)
    fresh = BPETokenizer(learned.text, learned.eos)

    for start in range(0, len(LINES), 10):
        lines = LINES[start : start + 10]
        assert np.array_equal(fresh.encode_batch(lines), learned.encode_batch(lines))
    assert len(fresh._cache._known) < 100


def test_a_file_keeps_its_ids_and_gets_an_end_of_line(tmp_path):
    model, config = theirs(tmp_path, models.WordPiece(unk_token="[UNK]"), ["[UNK]", "[CLS]"])
    size = model.get_vocab_size()

    tokenizer = BPETokenizer.train((), config)

    model.no_truncation()
    model.no_padding()
    assert tokenizer.encode(LINES[0]) == model.encode(LINES[0]).ids
    assert (tokenizer.eos, tokenizer.eos_id, tokenizer.vocab_size) == ("<eos>", size, size + 1)
    assert tokenizer.unk_id == model.token_to_id("[UNK]")
    assert tokenizer.encode("中") == [tokenizer.unk_id]
    tokenizer.save(tmp_path)
    assert BPETokenizer.load(tmp_path) == tokenizer


@pytest.mark.parametrize("name", ["</s>", "<|endoftext|>"])
def test_the_end_of_text_of_a_file_is_found(tmp_path, name):
    pre_tokenizer, decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    model, config = theirs(tmp_path, models.BPE(), [name], pre_tokenizer=pre_tokenizer, decoder=decoder)

    tokenizer = BPETokenizer.train((), config)

    assert (tokenizer.eos, tokenizer.eos_id) == (name, model.token_to_id(name))
    assert tokenizer.eos_id not in tokenizer.encode(f"a {name} b")
    assert tokenizer._cache is not None  # GPT-2's way of cutting text


def test_a_token_that_text_can_spell_is_no_end_of_line(tmp_path):
    # the vocabulary of whole words learns "</s>" as a word, since Whitespace() is not what cuts it here
    pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1, "a": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    ours = BPETokenizer.train((), BPEConfig(file=str(tmp_path / "tokenizer.json")))

    assert ours.eos == "<eos>"
    assert ours.encode("a </s> a") == [2, 1, 2]
    assert ours.eos_id == 3


def test_templates_of_a_file_add_nothing_to_lines(tmp_path):
    model, config = theirs(tmp_path, models.WordPiece(unk_token="[UNK]"), ["[UNK]", "[CLS]"])
    plain = BPETokenizer.train((), config).encode(LINES[0])
    model.post_processor = processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 1)])
    model.save(str(tmp_path / "tokenizer.json"))

    assert BPETokenizer.train((), config).encode(LINES[0]) == plain


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (models.WordPiece(unk_token="[UNK]"), {"special": ["[UNK]"], "normalizer": normalizers.Lowercase()}),
        (models.WordLevel(unk_token="[UNK]"), {"special": ["[UNK]"]}),
        (models.BPE(unk_token="<unk>"), {"special": ["<unk>"], **METASPACE}),
        (models.Unigram(), {"special": ["<unk>"], **METASPACE}),
    ],
    ids=["wordpiece", "wordlevel", "bpe", "unigram"],
)
def test_every_kind_of_file_encodes_batches_as_lines(tmp_path, model, options):
    _, config = theirs(tmp_path, model, **options)

    tokenizer = BPETokenizer.train((), config)

    lines = [*LINES[:10], *TORTURE]
    expected = [i for line in lines for i in (*tokenizer.encode(line), tokenizer.eos_id)]
    assert tokenizer.encode_batch(lines).tolist() == expected
    assert expected.count(tokenizer.eos_id) == len(lines)
    assert tokenizer.unk_id is not None
    assert "ferryman" in tokenizer.decode(tokenizer.encode("the ferryman"))


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model": {}}'])
def test_what_is_no_tokenizer_json_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(DataError, match=rf"{tmp_path}/tokenizer\.json is no tokenizer\.json"):
        BPETokenizer.train((), BPEConfig(file=str(tmp_path / "tokenizer.json")))
    with pytest.raises(DataError, match=r"no file .*nowhere\.json"):
        BPETokenizer.train((), BPEConfig(file=str(tmp_path / "nowhere.json")))


def test_an_end_of_line_that_is_not_in_the_file_is_refused(tmp_path):
    _, config = theirs(tmp_path, models.WordPiece(unk_token="[UNK]"), ["[UNK]"])

    with pytest.raises(DataError, match="'</s>' is no special token"):
        BPETokenizer.train((), BPEConfig(file=config.file, eos="</s>"))


def test_a_learned_file_is_the_same_each_time(learned):
    again = BPETokenizer.train(LINES, BPEConfig(vocab_size=400))

    assert json.loads(again.text) == json.loads(learned.text)
    assert again == learned


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (models.WordLevel({"a": 0, "b": 1}), "UNK"),
        (models.WordLevel({"a": 0, "b": 1}, unk_token="[UNK]"), "UNK"),
        (models.Unigram([("a", -1.0), ("b", -2.0)]), "unk_id. is missing"),
    ],
)
def test_a_file_that_fails_on_unknown_text_is_refused(tmp_path, model, reason):
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    with pytest.raises(DataError, match=rf"tokenizer\.json cannot encode every text: .*{reason}"):
        BPETokenizer.train((), BPEConfig(file=str(tmp_path / "tokenizer.json")))


@pytest.mark.parametrize(("unk", "warnings"), [(None, 1), ("<unk>", 0)])
def test_a_file_that_drops_what_it_does_not_know_is_warned_of(tmp_path, caplog, unk, warnings):
    _, config = theirs(tmp_path, models.BPE(unk_token=unk), [unk] if unk else [])

    tokenizer = BPETokenizer.train((), config)

    assert len(tokenizer.encode("é")) == 1 - warnings
    assert [record.message.partition(" gives no token for 'é'")[1] != "" for record in caplog.records] == [
        True
    ] * warnings


def test_no_end_of_line_is_added_where_ids_have_gaps(tmp_path):
    tokenizer = tokenizers.Tokenizer(models.WordLevel({"a": 0, "[UNK]": 3, "b": 7}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    with pytest.raises(DataError, match="has 3 tokens with ids up to 7"):
        BPETokenizer.train((), BPEConfig(file=str(tmp_path / "tokenizer.json")))


def test_dropout_of_a_file_is_left_out(tmp_path):
    _, config = theirs(tmp_path, models.BPE(dropout=0.5), ["<eos>"])

    tokenizer = BPETokenizer.train((), config)

    assert len({tuple(tokenizer.encode(LINES[0])) for _ in range(20)}) == 1


def test_a_line_is_cut_before_a_space_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(bpe, "LONGEST_LINE", 8)

    assert list(bpe._cut(["short", "", "two words", "a b c d e f", "x" * 20])) == [
        *("short", "", "two", " words", "a b c d", " e f"),
        *("x" * 8, "x" * 8, "x" * 4),
    ]


def test_a_signal_ends_learning():
    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Stop):
            bpe._interruptibly(lambda: time.sleep(30))  # as the library, which looks at no signal
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_what_fails_while_learning_is_raised():
    def lines():
        yield "a line"
        raise DataError("the file is damaged")

    with pytest.raises(DataError, match="the file is damaged"):
        BPETokenizer.train(lines(), BPEConfig())
