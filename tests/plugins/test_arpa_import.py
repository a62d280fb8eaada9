"""ARPA files of other tools as models: the same probabilities, whatever is odd about the file."""

from __future__ import annotations

import gzip
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool_ngram.arpa import kernels as arpa_kernels
from lmtool_ngram.arpa import parsing as arpa_parsing
from lmtool_ngram.arpa import writing as arpa
from lmtool_ngram.arpa.config import ArpaConfig
from lmtool_ngram.arpa.model import Arpa, read
from lmtool_ngram.model import fit_ids

EOS, UNK, A, B, C = range(5)


class Tokens:
    """What `read` and `write` ask of a tokenizer."""

    def __init__(self, *tokens: str, unk_id: int | None = UNK) -> None:
        self.list, self.vocab_size, self.eos_id, self.unk_id = tokens, len(tokens), EOS, unk_id

    def tokens(self, ids):
        return [self.list[i] for i in ids]


ABC = Tokens("<eos>", "<unk>", "a", "b", "c")

TRIGRAMS = """
\\data\\
ngram 1=6
ngram 2=4
ngram 3=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.4
-0.7\t</s>
-0.5\ta\t-0.3
-0.6\tb\t-0.2
-0.8\tc\t-0.1

\\2-grams:
-0.25\t<s> a\t-0.15
-0.35\ta b\t-0.05
-0.45\tb </s>
-0.55\tb c\t-0.35

\\3-grams:
-0.125\t<s> a b
-0.225\ta b </s>

\\end\\
"""


@pytest.fixture
def arpa_file(tmp_path):
    def write(text, name="lm.arpa"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write


def log10(model, *lines):
    """What each word and the end of each line gets."""
    ids = np.array([i for line in lines for i in (*line, EOS)], np.int32)[None]
    return list(model.score(ids, model.initial_state(1))[0][0] / math.log(10))


def distribution(model, *history):
    _, state = model.score(np.array([history], np.int32).reshape(1, -1), model.initial_state(1))
    return np.exp(model.next_log_probs(state)[0])


def approx(*values):
    return pytest.approx(values, rel=1e-6)


HISTORIES = [(), (A,), (A, B), (B,), (C,), (A, C), (UNK,), (B, UNK), (A, B, C)]


def assert_sums_to_one(model, histories=HISTORIES):
    for history in histories:
        assert distribution(model, *history).sum() == pytest.approx(1, abs=1e-6), history


# Files as they should be ----------------------------------------------------------------------------------------------


def test_scores_are_those_that_kenlm_gives(arpa_file):
    model = read(arpa_file(TRIGRAMS), ABC)

    # a: <s> a. b: <s> a b. end: a b </s>. KenLM's `query` prints these and -0.6 as the total for "a b".
    assert log10(model, [A, B]) == approx(-0.25, -0.125, -0.225)
    # b: back-off of <s>, b. c: b c. a: back-off of "b c", then of c, a. end: back-off of a, </s>. `query`: -3.5 in all.
    assert log10(model, [B, C, A]) == approx(-0.4 - 0.6, -0.55, -0.35 - 0.1 - 0.5, -0.3 - 0.7)
    # <unk> is one word more, after which contexts begin anew. `query`: -2.4.
    assert log10(model, [A, UNK]) == approx(-0.25, -0.15 - 0.3 - 1.0, -0.7)


@pytest.mark.parametrize("change", [
    lambda text: text.strip("\n"),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\t", "  "),
    lambda text: text.replace("<s>", "<S>").replace("</s>", "</S>").replace("<unk>", "<UNK>"),
    lambda text: text.replace("<s> a", "<S> a"),
    lambda text: "\ufeff" + text.strip("\n"),
    lambda text: "# a comment\n" + text.replace("-0.05", "-5e-2").replace("-0.15", "-.15").replace("-1.0", "-1E0"),
    lambda text: text.replace("<s> a b", "<s> a b\t0"),
    lambda text: text.replace("\n\\3-grams", "\\3-grams"),
])  # fmt: skip
def test_other_ways_to_write_the_same_are_read_alike(arpa_file, change):
    plain, other = read(arpa_file(TRIGRAMS), ABC), read(arpa_file(change(TRIGRAMS)), ABC)

    for line in ([A, B], [B, C, A], [A, UNK]):
        assert log10(other, line) == log10(plain, line)


def test_a_compressed_file_is_decompressed(arpa_file):
    plain, packed = read(arpa_file(TRIGRAMS), ABC), read(arpa_file(gzip.compress(TRIGRAMS.encode()), "lm.gz"), ABC)

    assert log10(packed, [B, C, A]) == log10(plain, [B, C, A])


def test_pieces_of_any_size_give_the_same(arpa_file, monkeypatch):
    path = arpa_file(TRIGRAMS)
    whole = log10(read(path, ABC), [B, C, A])

    for size in (1, 7, 40):
        monkeypatch.setattr(arpa_parsing, "CHUNK", size)

        assert log10(read(path, ABC), [B, C, A]) == whole


@given(
    lines=st.lists(st.lists(st.integers(1, 4), max_size=7), min_size=1, max_size=12),
    order=st.integers(1, 5),
    unk_id=st.sampled_from([None, UNK]),
)
@examples(max_examples=50, deadline=None)
def test_a_model_that_is_written_and_read_is_the_same(tmp_path_factory, lines, order, unk_id):
    tokenizer = Tokens("<eos>", " ", "a", "<s>", "▁", unk_id=unk_id)
    levels = fit_ids(np.array([i for line in lines for i in (*line, EOS)], np.int32), order, 5, EOS).levels
    path = tmp_path_factory.mktemp("arpa") / "lm"
    with path.open("wb") as file:
        arpa.write(file, levels, tokenizer)

    again = read(str(path), tokenizer).levels

    assert len(again) == len(levels)
    for one, other in zip(levels, again, strict=True):
        for name in ("words", "starts", "log_probs", "log_backoffs"):
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name), err_msg=name)


@given(st.lists(st.floats(-90, 0).map(repr) | st.decimals(-90, 0, places=12).map(str), min_size=1, max_size=20))
@examples(max_examples=100, deadline=None)
def test_numbers_are_read_as_python_reads_them(numbers):
    text = np.frombuffer("".join(f"{number}\ta\n" for number in numbers).encode(), np.uint8)
    ids, log_probs, backoffs = np.empty(len(numbers), np.int32), np.empty(len(numbers)), np.empty(len(numbers))
    table = arpa_kernels.WordTable([b"a"], np.zeros(1, np.int32))

    rows = arpa_kernels.parse_rows(text, 0, len(text), 1, table, ids, log_probs, backoffs, np.zeros(4, np.int64))

    assert rows == len(numbers)
    # float32 has 24 bits; two roundings of a float64 are far below that.
    assert log_probs == pytest.approx(np.array(numbers, np.float64), rel=1e-14, abs=0)


# Files with holes -----------------------------------------------------------------------------------------------------


def test_n_grams_whose_beginnings_and_ends_were_pruned_are_found_all_the_same(arpa_file):
    text = TRIGRAMS.replace("ngram 2=4", "ngram 2=1")
    for line in ("-0.25\t<s> a\t-0.15\n", "-0.35\ta b\t-0.05\n", "-0.45\tb </s>\n"):
        text = text.replace(line, "")
    model = read(arpa_file(text), ABC)

    # "<s> a", "a b" and "b </s>" have what backing off gives them, and no back-off of their own.
    assert log10(model, [A, B]) == approx(-0.4 - 0.5, -0.125, -0.225)
    assert log10(model, [A, C]) == approx(-0.4 - 0.5, -0.3 - 0.8, -0.1 - 0.7)
    assert log10(model, [C, B]) == approx(-0.4 - 0.8, -0.1 - 0.6, -0.2 - 0.7)


def test_what_no_text_can_ask_for_is_left_out(arpa_file, caplog):
    text = TRIGRAMS.replace("ngram 2=4", "ngram 2=6").replace("\\2-grams:\n", "\\2-grams:\n-9\ta <s>\n-9\t</s> a\n")
    model = read(arpa_file(text), ABC)

    assert log10(model, [A, B]) == approx(-0.25, -0.125, -0.225)
    assert "2 n-grams that no text can ask for are left out" in caplog.text


def test_minus_99_is_the_logarithm_of_zero(arpa_file):
    model = read(arpa_file(TRIGRAMS.replace("-1.0\t<unk>", "-99\t<unk>")), ABC)

    assert log10(model, [UNK])[0] == -math.inf


# Another vocabulary ---------------------------------------------------------------------------------------------------

# Sums to one: after a, what follows has 0.5 + 0.2 = 0.7, which alone has 0.2 + 0.3 = 0.5: b(a) = 0.3 / 0.5. After b, c
# has 0.4 instead of 0.1: b(b) = 0.6 / 0.9. After "a b", the end has 0.9 instead of 0.2 · 2/3: b = 0.1 / (1 - 0.4 / 3).
WORDS = {"<unk>": (0.1, 1), "</s>": (0.2, 1), "a": (0.3, 0.6), "b": (0.2, 2 / 3), "c": (0.1, 1), "d": (0.1, 1)}
LONGER = [
    {"a a": (0.2, 1), "a </s>": (0.5, 1), "b c": (0.4, 1), "a b": (0.12, 0.1 / (1 - 0.4 / 3))},
    {"a b </s>": (0.9, 1)},
]
# "a b" has what backing off gives it, so that nothing above changes; `<s>` is followed by anything.


def as_text(*orders):
    counts = "".join(f"ngram {n}={len(order)}\n" for n, order in enumerate(orders, start=1))
    sections = [
        f"\\{n}-grams:\n" + "".join(f"{math.log10(p)}\t{w}\t{math.log10(b)}\n" for w, (p, b) in order.items())
        for n, order in enumerate(orders, start=1)
    ]
    return "\\data\\\n" + counts + "\n" + "\n".join(sections) + "\n\\end\\\n"


SUMS = as_text(WORDS | {"<s>": (1e-99, 1)}, *LONGER)


def test_the_file_of_these_tests_sums_to_one(arpa_file):
    assert_sums_to_one(read(arpa_file(SUMS), Tokens("<eos>", "<unk>", "a", "b", "c", "d")))


def test_words_that_the_vocabulary_lacks_count_as_unknown(arpa_file, caplog):
    model = read(arpa_file(SUMS), Tokens("<eos>", "<unk>", "a", "b"))

    assert distribution(model, A, A)[EOS] == pytest.approx(0.5)
    assert distribution(model)[UNK] == pytest.approx(0.1 + 0.1 + 0.1)  # with c and d
    assert_sums_to_one(model, [(), (A,), (A, B), (B,), (UNK,), (B, A)])
    assert "2 of 7 words are not in the vocabulary and count as unknown" in caplog.text


def test_tokens_that_the_file_lacks_share_what_is_unknown(arpa_file, caplog):
    orders = [WORDS | {"<s>": (1e-99, 1)}, *LONGER]
    # After c, <unk> has 0.5 instead of 0.1: b(c) = 0.5 / 0.9.
    orders[0]["c"], orders[1] = (0.1, 0.5 / 0.9), orders[1] | {"c <unk>": (0.5, 1)}
    model = read(arpa_file(as_text(*orders)), Tokens("<eos>", "<unk>", "a", "b", "c", "d", "e", "f", "g"))

    assert distribution(model)[[UNK, 6, 7, 8]] == pytest.approx([0.1 / 4] * 4)
    assert_sums_to_one(model, [*HISTORIES, (6,), (A, 7)])
    assert "lacks 3 of 9 tokens of the vocabulary, which share the probability of <unk>" in caplog.text


def test_without_an_unknown_word_nothing_is_left_for_it(arpa_file, caplog):
    words = {word: (p / 0.9, b) for word, (p, b) in WORDS.items() if word != "<unk>"}
    model = read(arpa_file(as_text(words | {"<s>": (1e-99, 1)})), Tokens("<eos>", "<unk>", "a", "b", "c", "d"))

    assert distribution(model)[UNK] == 0
    assert_sums_to_one(model)
    assert "which have probability zero: it has no <unk>" in caplog.text


def test_a_vocabulary_without_unknowns_divides_what_is_left_out(arpa_file):
    model = read(arpa_file(SUMS), Tokens("<eos>", "a", "b", "c", unk_id=None))

    # <unk> and d had 0.2 together.
    assert distribution(model, 2, 3)[0] == pytest.approx(0.2 / 0.8)
    assert_sums_to_one(model, [(), (1,), (2,), (1, 2), (3,), (1, 1)])


@given(st.data())
@examples(max_examples=40, deadline=None)
def test_any_part_of_a_vocabulary_sums_to_one(tmp_path_factory, data):
    words = [f"w{i}" for i in range(6)]
    lines = data.draw(st.lists(st.lists(st.integers(1, 7), max_size=6), min_size=1, max_size=10))
    kept = data.draw(st.lists(st.sampled_from([*words, "new", "newer"]), unique=True, min_size=1))
    levels = fit_ids(np.array([i for line in lines for i in (*line, EOS)], np.int32), 3, 8, EOS).levels
    path = tmp_path_factory.mktemp("arpa") / "lm"
    with path.open("wb") as file:
        arpa.write(file, levels, Tokens("<eos>", "<unk>", *words))

    model = read(str(path), Tokens("<eos>", "<unk>", *kept))

    ids = range(1, model.vocab_size)
    assert_sums_to_one(model, [(), *((i,) for i in ids), *pairwise(ids)])


def test_the_vocabulary_is_what_is_not_special(arpa_file):
    text = TRIGRAMS.replace("\tb\t", "\t<text:%20>\t")

    assert list(Arpa(ArpaConfig(file=arpa_file(text))).vocabulary()) == ["a", " ", "c"]


# Files that are damaged -----------------------------------------------------------------------------------------------

LINES = TRIGRAMS.split("\n")


def line_of(text):
    return LINES.index(text) + 1


@pytest.mark.parametrize(("old", "new", "line", "problem"), [
    ("ngram 2=4", "ngram 2=5", line_of("-0.55\tb c\t-0.35"), "4 n-grams of order 2 end here, the header says 5"),
    ("ngram 1=6", "ngram 1=5", line_of("-0.8\tc\t-0.1"), "6 n-grams of order 1 end here, the header says 5"),
    ("ngram 2=4\n", "", line_of("ngram 3=2") - 1, "the count of order 2 is wanted, not 'ngram 3=2'"),
    ("\\end\\\n", "", len(LINES) - 2, "the file ends here, before \\end\\"),
    ("a b </s>\n\n\\end\\\n", "a b </s>\n", len(LINES) - 3, "the file ends here, before \\end\\"),
    ("\\3-grams:", "\\4-grams:", line_of("\\3-grams:"), "\\3-grams: is wanted, not '\\4-grams:'"),
    ("-0.35\ta b\t-0.05", "x\ta b", line_of("-0.35\ta b\t-0.05"), "'x\ta b' does not begin with a number"),
    ("-0.35\ta b\t-0.05", "-0.35\ta", line_of("-0.35\ta b\t-0.05"), "too few words: '-0.35\ta'"),
    ("-0.35\ta b\t-0.05", "-0.35\ta b c", line_of("-0.35\ta b\t-0.05"), "'c' is wanted to be a back-off"),
    ("-0.35\ta b\t-0.05", "-0.35\ta z", line_of("-0.35\ta b\t-0.05"), "'z' is not among the words of order 1"),
    ("-0.45\tb </s>", "-0.45\tb </s>\tinf", line_of("-0.45\tb </s>"), "a back-off of more than 1e+38"),
    ("-0.45\tb </s>", "-0.45\tb </s>\t1e39", line_of("-0.45\tb </s>"), "a back-off of more than 1e+38"),
    ("-0.35\ta b\t-0.05", "0.35\ta b", line_of("-0.35\ta b\t-0.05"), "a probability of more than one"),
    ("-0.35\ta b\t-0.05", "-0.35\tb c", line_of("-0.55\tb c\t-0.35"), "this n-gram is there already"),
    ("-0.6\tb", "-0.6\ta", line_of("-0.6\tb\t-0.2"), "'a' is in line 11 already"),
    ("-0.6\tb\t-0.2", "-0.6\tb\tq", line_of("-0.6\tb\t-0.2"), "'q' is no number"),
    ("-0.6\tb\t-0.2", "nan\tb", line_of("-0.6\tb\t-0.2"), "'nan' is no number"),
    ("-0.6\tb\t-0.2", "-0.6\tb\t1e39", line_of("-0.6\tb\t-0.2"), "'1e39' is no number"),
    ("-0.6\tb\t-0.2", "-0.6", line_of("-0.6\tb\t-0.2"), "a number, a word and perhaps another number are wanted"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(arpa_file, old, new, line, problem):
    assert old in TRIGRAMS
    path = arpa_file(TRIGRAMS.replace(old, new, 1))

    with pytest.raises(DataError) as raised:
        read(path, ABC)

    assert raised.value.message.startswith(f"{path}: line {line}: ")
    assert " ".join(problem.split()) in raised.value.message


def test_another_kind_of_file_is_none(arpa_file):
    with pytest.raises(DataError, match=r"no \\data\\ so far: this is no ARPA file"):
        read(arpa_file("some text\n" * 200), ABC)


def test_a_file_that_is_not_utf_8_is_refused(arpa_file):
    path = arpa_file(TRIGRAMS.encode().replace(b"\tb\t", b"\t\xe9\t"))

    with pytest.raises(DataError, match=r"line 12: .* is not UTF-8"):
        read(path, ABC)


def test_a_compressed_file_that_was_cut_short_is_named(arpa_file):
    path = arpa_file(gzip.compress(TRIGRAMS.encode())[:-20], "lm.gz")

    with pytest.raises(DataError, match=r"lm\.gz is damaged or cut short"):
        read(path, ABC)
