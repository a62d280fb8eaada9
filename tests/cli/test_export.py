"""`lmtool export` from the outside."""

from __future__ import annotations

import gzip
import lzma

import pytest


def test_without_a_file_the_model_is_the_answer(lmtool, tiny):
    done = lmtool("export", tiny / "words", "--to", "arpa")

    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("\\data\\\nngram 1=")
    assert done.stdout.endswith("\n\\end\\\n")


def test_with_a_file_its_name_is_the_answer(lmtool, tiny):
    plain = lmtool("export", tiny / "words", "--to", "arpa")
    done = lmtool("export", tiny / "words", "--to", "arpa", "-o", "lm.arpa")

    assert (done.code, done.stdout, done.stderr) == (0, "lm.arpa\n", "")
    assert (lmtool.cwd / "lm.arpa").read_text() == plain.stdout
    assert [path.name for path in lmtool.cwd.iterdir()] == ["lm.arpa"]


@pytest.mark.parametrize(("suffix", "decompress"), [(".gz", gzip.decompress), (".xz", lzma.decompress)])
def test_the_suffix_says_how_it_is_compressed(lmtool, tiny, suffix, decompress):
    plain = lmtool("export", tiny / "words", "--to", "arpa")
    lmtool("export", tiny / "words", "--to", "arpa", "-o", f"lm{suffix}")

    assert decompress((lmtool.cwd / f"lm{suffix}").read_bytes()).decode() == plain.stdout


def test_a_format_that_the_model_has_not_is_a_usage_error(lmtool, tiny):
    counted = lmtool("export", tiny / "words", "--to", "arpaa", "-o", "lm")
    neural = lmtool("export", tiny / "lstm", "--to", "arpa", "-o", "lm")

    assert (counted.code, neural.code) == (2, 2)
    assert "cannot be exported to 'arpaa' (did you mean 'arpa'?); formats of model 'ngram': arpa" in counted.stderr
    assert "formats of model 'lstm': safetensors, stablehlo" in neural.stderr
    assert not (lmtool.cwd / "lm").exists()


def test_weights_and_the_scoring_function_of_a_network_agree_with_score(lmtool, tiny):
    line = "The miller counted two grey geese ."
    weights = lmtool("export", tiny / "lstm", "--to", "safetensors", "-o", "lm.safetensors")
    scoring = lmtool("export", tiny / "lstm", "--to", "stablehlo", "-o", "lm.stablehlo")
    scored = lmtool("score", tiny / "lstm", "--json", input=line + "\n")
    alone = lmtool.python("-c", WITHOUT_LMTOOL, "lm.stablehlo", "lm.safetensors", line)

    for done in (weights, scoring, scored, alone):
        assert done.code == 0, done.stderr
    assert (weights.stdout, scoring.stdout) == ("lm.safetensors\n", "lm.stablehlo\n")
    assert float(alone.stdout) == pytest.approx(-scored.json["nats"], rel=1e-5)


WITHOUT_LMTOOL = """
import sys
sys.modules["lmtool"] = None  # importing it would fail
import json, numpy as np
from jax import export
from safetensors import safe_open
scoring = export.deserialize(open(sys.argv[1], "rb").read())
with safe_open(sys.argv[2], "numpy") as file:
    facts = file.metadata()
tokens = json.loads(facts["tokens"])
ids = np.array([[*map(tokens.index, sys.argv[3].split()), int(facts["eos_id"])]], np.int32)
state = tuple(np.zeros((len(ids), *one.shape[1:]), one.dtype) for one in scoring.in_avals[1:])
print(np.asarray(scoring.call(ids, state)[0]).sum())
"""


def test_a_folder_that_is_not_there_is_named(lmtool, tiny):
    done = lmtool("export", tiny / "words", "--to", "arpa", "-o", "nowhere/lm.arpa")

    assert done.code == 1
    assert "error: cannot write nowhere/lm.arpa: no such file or directory" in done.stderr
