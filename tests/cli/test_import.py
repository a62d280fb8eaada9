"""A run made of somebody else's ARPA file, from the outside."""

from __future__ import annotations

import gzip
import json

import pytest

IMPORT = ("train", "--model", "arpa", "--set", "model.file=lm.arpa.gz")


@pytest.fixture
def arpa(lmtool, tiny):
    """`lm.arpa.gz` in the working folder: what the run `words` of `tiny` knows."""
    assert lmtool("export", tiny / "words", "--to", "arpa", "-o", "lm.arpa.gz").code == 0
    return lmtool.cwd / "lm.arpa.gz"


def nats(lmtool, run, text):
    return lmtool("eval", run, "--on", text, "--json").json["results"][0]["metrics"]["nats"]["value"]


def test_a_file_is_all_that_is_needed(lmtool, tiny, arpa):
    done = lmtool(*IMPORT, "-o", "run")

    assert (done.code, done.stdout) == (0, "run\n")
    assert "warning" not in done.stderr
    assert nats(lmtool, "run", tiny / "test.txt") == pytest.approx(nats(lmtool, tiny / "words", tiny / "test.txt"))
    assert lmtool("score", "run", tiny / "test.txt").code == 0
    assert lmtool("generate", "run", "--prompt", "the miller").stdout.startswith("the miller")
    again = lmtool("export", "run", "--to", "arpa").stdout
    assert sorted(again.splitlines()) == sorted(gzip.decompress(arpa.read_bytes()).decode().splitlines())


def test_the_same_command_again_does_nothing(lmtool, arpa):
    first = lmtool(*IMPORT)
    record = lmtool.cwd / first.stdout.strip() / "run.json"
    written = record.stat().st_mtime_ns
    again = lmtool(*IMPORT)

    assert (again.code, again.stdout) == (0, first.stdout)
    assert record.stat().st_mtime_ns == written


def test_another_content_of_the_file_is_noticed(lmtool, arpa):
    assert lmtool(*IMPORT, "-o", "run").code == 0
    text = gzip.decompress(arpa.read_bytes()).decode()
    arpa.write_bytes(gzip.compress(text.replace("\\data\\", "# another\n\\data\\").encode()))
    done = lmtool(*IMPORT, "-o", "run")

    assert done.code == 2
    assert "error: run was begun with another content of the file that is imported" in done.stderr


def test_texts_may_be_named_for_validation_and_tests(lmtool, tiny, arpa):
    done = lmtool(*IMPORT, "-o", "run", "--valid", tiny / "valid.txt", "--test", tiny / "test.txt", "--json")

    before = json.loads((tiny / "words" / "run.json").read_text())["result"]
    assert done.json["valid_token_perplexity"] == pytest.approx(before["valid_token_perplexity"])
    assert "evaluated on the test split" in lmtool("eval", "run").stderr


def test_without_a_text_there_is_nothing_to_evaluate_on(lmtool, arpa):
    assert lmtool(*IMPORT, "-o", "run").code == 0
    done = lmtool("eval", "run")

    assert done.code == 1
    assert "has a vocabulary and no text" in done.stderr
    assert "hint: `--on FILE` evaluates on a text" in done.stderr


def test_a_dataset_brings_its_own_ids(lmtool, tiny, arpa):
    same = lmtool(*IMPORT, "--data", tiny / "word-dataset", "-o", "same")
    other = lmtool(*IMPORT, "--data", tiny / "char-dataset", "-o", "other")

    assert (same.code, other.code) == (0, 0)
    assert nats(lmtool, "same", "test") == pytest.approx(nats(lmtool, tiny / "words", "test"))
    assert "words are not in the vocabulary and count as unknown" in other.stderr


def test_a_file_of_characters_is_all_that_is_needed_too(lmtool, tiny):
    lmtool("export", tiny / "chars", "--to", "arpa", "-o", "lm.arpa.gz")
    done = lmtool(*IMPORT, "--tokenizer", "char", "-o", "chars")

    text = tiny / "train.txt"  # all of whose characters are known, the space, which the file has as U+2581, among them
    assert done.code == 0
    assert nats(lmtool, "chars", text) == pytest.approx(nats(lmtool, tiny / "chars", text), rel=1e-6)


def test_a_model_of_characters_is_exact_with_their_tokenizer(lmtool, tiny):
    lmtool("export", tiny / "chars", "--to", "arpa", "-o", "lm.arpa.gz")
    done = lmtool(*IMPORT, "--data", tiny / "char-dataset", "-o", "chars")

    assert done.code == 0
    assert "warning" not in done.stderr
    assert nats(lmtool, "chars", "test") == nats(lmtool, tiny / "chars", "test")


def test_a_file_that_is_missing_or_damaged_is_named(lmtool):
    (lmtool.cwd / "broken.arpa").write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a\n")
    missing = lmtool("train", "--model", "arpa", "--set", "model.file=nowhere.arpa", "-o", "run")
    broken = lmtool("train", "--model", "arpa", "--set", "model.file=broken.arpa", "-o", "run")
    unnamed = lmtool("train", "--model", "arpa", "-o", "run")

    assert (missing.code, broken.code, unnamed.code) == (1, 1, 2)
    assert "error: cannot read nowhere.arpa: no such file or directory" in missing.stderr
    assert "error: broken.arpa: line 5: the file ends here, before \\end\\" in broken.stderr
    assert "model.file is missing" in unnamed.stderr


def test_it_may_be_stored_in_fewer_bits(lmtool, tiny, arpa):
    assert lmtool(*IMPORT, "-o", "exact").code == lmtool(*IMPORT, "--set", "model.quantize=8", "-o", "coded").code == 0

    sizes = [(lmtool.cwd / run / "model" / "log_probs-3.npy").stat().st_size for run in ("exact", "coded")]
    assert sizes[1] < sizes[0] / 2
    assert nats(lmtool, "coded", tiny / "test.txt") == pytest.approx(nats(lmtool, "exact", tiny / "test.txt"), rel=0.01)
    assert lmtool("export", "coded", "--to", "arpa").code == 0


def test_it_has_every_property_of_a_language_model(lmtool, tiny):
    lmtool("export", tiny / "chars", "--to", "arpa", "-o", "chars.arpa")
    done = lmtool("plugins", "check", "model", "arpa", "--set", "file=chars.arpa")

    assert done.code == 0, done.stdout
    assert "ok      exports" in done.stdout
