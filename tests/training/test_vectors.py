"""Reading pretrained vectors: formats, compression, and what is said of damaged files."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from lmtool.errors import DataError
from lmtool.tasks.classify.vectors import read_vectors

GLOVE = "the 0.5 -1 2e-1\ncat 1 2 3\n"
WORD2VEC = "3 3\n</s> 0 0 0 \nthe 0.5 -1 0.2 \ncat 1 2 3 \n"


def read(tmp_path, text, tokens):
    file = tmp_path / "vectors.txt"
    file.write_text(text, encoding="utf-8")
    return read_vectors(str(file), tokens)


@pytest.mark.parametrize("text", [GLOVE, WORD2VEC])
def test_vectors_go_to_the_places_of_their_tokens(tmp_path, text):
    table, found = read(tmp_path, text, ["<unk>", "cat", "dog", "the"])

    assert table.dtype == np.float32
    np.testing.assert_array_equal(found, [False, True, False, True])
    np.testing.assert_allclose(table, [[0, 0, 0], [1, 2, 3], [0, 0, 0], [0.5, -1, 0.2]], rtol=1e-7)


def test_a_compressed_file_is_read_as_it_is(tmp_path):
    file = tmp_path / "vectors.vec.gz"
    file.write_bytes(gzip.compress(WORD2VEC.encode()))

    table, found = read_vectors(str(file), ["cat"])

    assert found.all()
    np.testing.assert_array_equal(table, [[1, 2, 3]])


def test_other_letters_than_english_ones(tmp_path):
    table, found = read(tmp_path, "猫 1 2\nКот 3 4\n", ["Кот", "猫"])

    assert found.all()
    np.testing.assert_array_equal(table, [[3, 4], [1, 2]])


def test_of_a_token_that_stands_twice_the_first_vector_counts(tmp_path):
    table, _ = read(tmp_path, "cat 1 2\ncat 3 4\n", ["cat"])

    np.testing.assert_array_equal(table, [[1, 2]])


def test_equal_tokens_get_the_same_vector(tmp_path):
    table, found = read(tmp_path, "cat 1 2\n", ["cat", "cat"])

    assert found.all()
    np.testing.assert_array_equal(table, [[1, 2], [1, 2]])


def test_a_token_with_blanks_is_not_taken_for_its_first_part(tmp_path):
    table, found = read(tmp_path, "the 9 9\n. . . 1 2\n. 3 4\n", ["."])

    assert found.all()
    np.testing.assert_array_equal(table, [[3, 4]])


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("the 1 2\ncat 1\n", 2, "the vector has 1 numbers, not 2"),
        ("1 2\ncat 1 2 3\n", 2, "the vector has 3 numbers"),
        ("the 1 2\ncat 1 x\n", 2, "could not convert string to float"),
        ("the 1 2\ncat 1 nan\n", 2, "not finite"),
    ],
)
def test_a_wrong_vector_is_named_by_its_line(tmp_path, text, line, problem):
    with pytest.raises(DataError, match=problem) as error:
        read(tmp_path, text, ["cat"])

    assert f"vectors.txt:{line}:" in error.value.message


@pytest.mark.parametrize(("text", "problem"), [("", "is empty"), ("just some text\n", "starts with neither")])
def test_what_is_no_file_of_vectors_is_refused(tmp_path, text, problem):
    with pytest.raises(DataError, match=problem):
        read(tmp_path, text, ["cat"])


def test_lines_of_other_tokens_are_not_looked_at(tmp_path):
    table, found = read(tmp_path, "the 1 2\nbroken x\ncat 3 4\n", ["cat"])

    assert found.all()
    np.testing.assert_array_equal(table, [[3, 4]])
