"""`lmtool export` from the outside."""

from __future__ import annotations

import gzip
import lzma
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/how-to/exchange-models.md"


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
    assert "formats of model 'lstm': safetensors, stablehlo, word2vec" in neural.stderr
    assert not (lmtool.cwd / "lm").exists()


@pytest.fixture
def programs(lmtool, tiny):
    """What the page on exchanging models does with an exported network, where lmtool cannot be imported."""
    for name in ("safetensors", "stablehlo"):
        done = lmtool("export", tiny / "lstm", "--to", name, "-o", f"lm.{name}")
        assert (done.code, done.stdout) == (0, f"lm.{name}\n"), done.stderr
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    blocked = "import sys\nsys.modules.update(dict.fromkeys(['lmtool', 'lmtool_lstm', 'flax']))\n"
    return [blocked + block for block in blocks]


def test_networks_are_scored_and_computed_without_lmtool_as_the_page_says(lmtool, tiny, programs):
    scoring, computing = programs
    scored = lmtool("score", tiny / "lstm", "--json", "--tokens", input="The miller counted two grey geese .\n")
    first = scored.json["token_scores"][0]

    nats = lmtool.python("-c", scoring)
    first_nats = lmtool.python("-c", f"{computing}\nprint(-log_probs[{first['id']}])")

    assert (nats.code, first_nats.code) == (0, 0), nats.stderr + first_nats.stderr
    assert float(nats.stdout) == pytest.approx(scored.json["nats"], rel=1e-5)
    assert float(first_nats.stdout) == pytest.approx(first["nats"], rel=1e-5)


def test_a_folder_that_is_not_there_is_named(lmtool, tiny):
    done = lmtool("export", tiny / "words", "--to", "arpa", "-o", "nowhere/lm.arpa")

    assert done.code == 1
    assert "error: cannot write nowhere/lm.arpa: no such file or directory" in done.stderr


def test_what_is_no_language_model_is_said_to_have_its_weights_elsewhere(lmtool, labelled):
    done = lmtool("export", labelled / "cnn", "--to", "safetensors", "-o", "cnn.safetensors")

    assert done.code == 1
    assert "only language models are exported, and" in done.stderr
    assert f"hint: what it has learned lies in {labelled / 'cnn' / 'model'}; networks have a weights" in done.stderr
    assert (labelled / "cnn" / "model" / "weights.safetensors").is_file()
