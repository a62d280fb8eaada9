"""Dynamic evaluation from the shell."""

from __future__ import annotations


def test_a_run_that_adapts_stands_beside_the_plain_one(lmtool, tiny):
    settings = {"run": tiny / "lstm", "update": "sgd", "learning_rate": 0.3, "decay": 0.0, "segment": 5}
    options = [word for name, value in settings.items() for word in ("--set", f"model.{name}={value}")]
    made = lmtool("train", "--model", "dynamic", *options, "--set", "training.batch_size=1",
                  "--data", tiny / "word-dataset", "-o", "dynamic", "--json")  # fmt: skip
    evaluated = lmtool("eval", "dynamic", tiny / "lstm", "--set", "evaluation.batch_size=1", "--json")
    generated = lmtool("generate", "dynamic", "--prompt", "The miller", "--seed", "1", "--max-tokens", "12")
    exported = lmtool("export", "dynamic", "--to", "safetensors")

    for done in (made, evaluated, generated):
        assert done.code == 0, done.stderr
    assert (made.json["learning_rate"], made.json["segment"]) == (0.3, 5)
    assert [one["adapts"] for one in evaluated.json["results"]] == [True, False]
    nats = [one["metrics"]["nats"]["value"] for one in evaluated.json["results"]]
    assert nats[0] != nats[1]
    assert generated.stdout.startswith("The miller")
    assert exported.code == 2
    assert "formats of model 'dynamic': none" in exported.stderr
