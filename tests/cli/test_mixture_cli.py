"""Mixtures from the shell: made, evaluated, scored, generated from, mixed again."""

from __future__ import annotations


def test_a_mixture_is_a_model_like_any_other(lmtool, tiny):
    runs = f'model.runs=["{tiny / "words"}","{tiny / "lstm"}"]'
    caches = f'model.caches=[{{kind="unigram",window=50}},{{kind="neural",run="{tiny / "lstm"}",window=50,theta=1.0}}]'

    made = lmtool("train", "--model", "mixture", "--set", runs, "--set", caches, "--data", tiny / "word-dataset",
                  "-o", "mix", "--json")  # fmt: skip
    again = lmtool("train", "--model", "mixture", "--set", 'model.runs=["mix"]', "--set", "model.weights=[1.0]",
                   "--data", tiny / "word-dataset", "-o", "outer")  # fmt: skip
    evaluated = lmtool("eval", "mix", "outer", tiny / "words", "--set", "evaluation.batch_size=1", "--json")
    scored = lmtool("score", "mix", input="The miller counted two grey geese .\n")
    generated = lmtool("generate", "mix", "--prompt", "The miller", "--seed", "1", "--max-tokens", "5")

    for done in (made, again, evaluated, scored, generated):
        assert done.code == 0, done.stderr
    parts = made.json["parts"]
    assert [part.get("cache", part.get("run")) for part in parts] == [
        str(tiny / "words"), str(tiny / "lstm"), "unigram", "neural",
    ]  # fmt: skip
    assert abs(sum(part["weight"] for part in parts) - 1) < 1e-9
    mixed, outer, ngram = evaluated.json["results"]
    assert [one["adapts"] for one in (mixed, outer, ngram)] == [True, True, False]
    assert abs(mixed["metrics"]["nats"]["value"] / outer["metrics"]["nats"]["value"] - 1) < 1e-9
    assert scored.stdout.strip()
    assert generated.stdout.startswith("The miller")


def test_a_mixture_without_held_out_text_says_what_to_do(lmtool, tiny):
    (lmtool.cwd / "a.txt").write_text("The miller counted two grey geese .\n")
    lmtool("tokenize", "--with", tiny / "words", "--train", "a.txt", "-o", "data")

    done = lmtool("train", "--model", "mixture", "--set", f'model.runs=["{tiny / "words"}"]', "--data", "data",
                  "-o", "mix")  # fmt: skip

    assert done.code == 1
    assert "has no valid split to tune the weights of a mixture on" in done.stderr
    assert "model.weights" in done.stderr
