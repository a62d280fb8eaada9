"""Config: every wrong key or value is one line that names the place, what was meant and what is allowed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from lmtool.config import core_section, load_config, resolve
from lmtool.config_docs import json_schema, template
from lmtool.errors import ConfigError, LmtoolError
from lmtool.raw_config import Raw, apply_overrides
from lmtool.registry import Registry

registry = Registry(third_party=False)
MODELS = (
    "arpa, bag, cnn, copy-source, dynamic, ensemble, gru, lead, linear, lstm, mixture, ngram, rnn, sliding-window, "
    "text-ensemble, textcnn"
)


def error_of(toml, tmp_path, overrides=()):
    file = tmp_path / "run.toml"
    file.write_text(toml)
    with pytest.raises(LmtoolError) as caught:
        load_config(file, registry, overrides=overrides)
    return caught.value.message.replace(str(file), "run.toml"), caught.value.hint


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[model]\nname = "ngram"\nordr = 3', "run.toml: unknown key model.ordr (did you mean 'order'?)"),
        ('[modle]\nname = "lstm"', "run.toml: unknown section [modle] (did you mean 'model'?)"),
        ('[model]\nname = "lstm"\nhidden_size = 0', "run.toml: model.hidden_size must be at least 1, got 0"),
        ('[model]\nname = "lstm"\nhidden_size = "9"', "run.toml: model.hidden_size must be a whole number, got '9'"),
        ('[model]\nname = "lstm"\nhidden_size = 2.5', "run.toml: model.hidden_size must be a whole number, got 2.5"),
        ('[model]\nname = "ngram"\norder = 11', "run.toml: model.order must be at most 10, got 11"),
        ('[model]\nname = 3', "run.toml: model.name must be a string, got 3"),
        ('model = "lstm"', "run.toml: model must be a table, got 'lstm'"),
        ('[model]\nname = "ngram"\n[training]\nseed = -1', "run.toml: training.seed must be at least 0, got -1"),
        ('[model]\nname = "ngram"\n[data]\ntrain = "a.txt"', "run.toml: data.train must be a list, got 'a.txt'"),
        ('[model]\nname = "ngram"\n[data]\ntrain = [1]', "run.toml: data.train.0 must be a string, got 1"),
        ('model.name="ngram"\ntraining.max_minutes = "x"', "run.toml: training.max_minutes must be a number, got 'x'"),
        (
            '[model]\nname = "ngram"\n[optimizer]\nname = "sgd"',
            "run.toml: [optimizer] has no use: model 'ngram' is counted, it takes no steps",
        ),
        (
            'model.name="linear"\ntask.name="classify"\ntraining.augment=["delete"]',
            "run.toml: training.augment has no use: model 'linear' is counted, it takes no steps",
        ),
        (
            'model.name="ngram"\ntraining.patience=2',
            "run.toml: training.patience has no use: model 'ngram' is counted, it takes no steps",
        ),
        (
            'model.name="ngram"\nevaluation.evaluators=[{name="perplexity", x=1}]',
            "run.toml: unknown key evaluation.evaluators.x",
        ),
        ('model.name="ngram"\nevaluation.evaluators=[]',
         "run.toml: evaluation.evaluators must have at least 1 entries, got []"),
        ('model.name="lstm"\ntraining.step={}', "run.toml: training.step: a step must have a `name`, got {}"),
        ('model.name="ngram"\ndata.reader={name="txt"}',
         "no reader named 'txt' (did you mean 'text'?); installed: builtin, csv, fasttext, folder, jsonl, parallel, "
         "parquet, sklearn, text, tsv"),
        ('[model]\nname = "ltsm"',
         f"no model named 'ltsm' (did you mean 'lstm'?); installed: {MODELS}"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_explained(toml, message, tmp_path):
    assert error_of(toml, tmp_path)[0] == message


def test_an_unknown_key_lists_what_is_allowed(tmp_path):
    _, hint = error_of('[model]\nname = "ngram"\nordr = 3', tmp_path)

    assert hint.startswith("[model] has order, ")


def test_what_is_wrong_in_set_is_said_of_set(tmp_path):
    def message(override):
        return error_of("model.name='ngram'", tmp_path, [override])[0]

    assert message("modle.order=3") == "--set modle.order=3: unknown section [modle] (did you mean 'model'?)"
    assert message("model..order=3") == "--set model..order=3: must look like section.key=value"
    assert message("model.order=3\nx = 4").startswith("--set model.order=3 x = 4: model.order must be a whole number")


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ConfigError, match=r": cannot be read: is a directory$"):
        load_config(tmp_path, registry)


def test_a_template_says_a_component_as_it_was_asked_for():
    text = template(registry, {"model": "lstm", "optimizer": "lmtool:sgd"})

    assert tomllib.loads(text)["optimizer"]["name"] == "lmtool:sgd"


def test_a_template_for_a_counted_model_takes_no_optimizer():
    with pytest.raises(ConfigError, match=r"\[optimizer\] has no use: model 'ngram' is counted, it takes no steps"):
        template(registry, {"model": "ngram", "optimizer": "sgd"})


def test_a_missing_model_lists_what_is_installed(tmp_path):
    message, hint = error_of("[training]\nseed = 1", tmp_path)

    assert message == f"run.toml: model.name is missing; installed: {MODELS}"
    assert hint == "`--model NAME` sets it"


@pytest.mark.parametrize("toml", ["[model", "a = 1\na = 2", "\xff"])
def test_a_malformed_file_is_named(toml, tmp_path):
    file = tmp_path / "run.toml"
    file.write_bytes(toml.encode("latin-1"))

    with pytest.raises(ConfigError, match=r"run\.toml: cannot be read as TOML"):
        load_config(file, registry)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no config file .*nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml", registry)


def test_an_override_is_blamed_by_its_own_words(tmp_path):
    message, _ = error_of('[model]\nname = "ngram"', tmp_path, overrides=["model.order=0"])

    assert message == "--set model.order=0: model.order must be at least 1, got 0"


@pytest.mark.parametrize(
    ("override", "value"),
    [("a.b=3", 3), ("a.b=0.5", 0.5), ("a.b=true", True), ('a.b="3"', "3"), ("a.b=text", "text"), ("a.b=[1, 2]", [1, 2]),
     ("a.b=", ""), ("a.b=x=y", "x=y"), ("a.b=builtin:pydoc", "builtin:pydoc")],
)  # fmt: skip
def test_an_override_is_a_toml_value_or_else_a_string(override, value):
    raw = Raw()

    apply_overrides(raw, [override])

    assert raw.values == {"a": {"b": value}}


@pytest.mark.parametrize("override", ["model.order", "=3", ""])
def test_an_override_without_key_or_value_is_an_error(override):
    with pytest.raises(ConfigError, match=r"must look like section\.key=value"):
        apply_overrides(Raw(), [override])


def test_an_override_cannot_go_below_a_value():
    with pytest.raises(ConfigError, match=r"a\.b is a value, not a table"):
        apply_overrides(Raw({"a": {"b": 1}}), ["a.b.c=2"])


def test_flags_win_over_the_file_and_overrides_over_both(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[model]\nname = "ngram"\norder = 2\n[training]\nseed = 1')

    config = load_config(file, registry, flags={"training.seed": 2, "model.order": 3}, overrides=["model.order=4"])

    assert (config.training.seed, config.model.config.order) == (2, 4)


@pytest.mark.parametrize(
    ("file", "flag", "overrides", "seed"),
    [
        ("", 3, [], 3),
        ("training.seed=3", None, [], 3),
        ("training.seed=3", 4, [], 4),
        ("model.seed=5", None, [], 5),
        ("training.seed=3\nmodel.seed=5", None, [], 5),
        # What is said on the command line is said over the file, as over one that `lmtool config new` has written.
        ("training.seed=0\nmodel.seed=5", 3, [], 3),
        ("training.seed=0\nmodel.seed=5", None, ["training.seed=3"], 3),
        ("", 3, ["model.seed=7"], 7),
        ("", 3, ["model={name='bag', seed=7}"], 7),
    ],
)
def test_the_seed_of_training_is_that_of_a_fitted_model_that_has_one(tmp_path, file, flag, overrides, seed):
    (path := tmp_path / "run.toml").write_text(f'model.name="bag"\ntask.name="classify"\n{file}\n')

    config = load_config(path, registry, flags={"training.seed": flag}, overrides=overrides)

    assert config.model.config.seed == seed
    again = resolve(Raw(tomllib.loads(config.to_toml())), registry)
    assert again == config, "a stored config says both"


def test_a_setting_of_steps_that_a_fitted_model_has_of_its_own_is_said(tmp_path):
    message, hint = error_of('model.name="bag"\ntask.name="classify"', tmp_path, ["training.epochs=3"])

    assert message.startswith("--set training.epochs=3: training.epochs has no use")
    assert hint == "`model.epochs` is the model's own setting"


def test_a_fitted_models_config_may_say_how_it_is_validated_and_all_defaults(tmp_path):
    used = ["training.seed=3", "training.batch_size=1", "training.monitor=token_perplexity"]

    config = load_config(None, registry, flags={"model.name": "ngram"}, overrides=[*used, "training.epochs=10"])

    assert resolve(Raw(tomllib.loads(config.to_toml())), registry) == config


def test_a_counted_model_without_a_seed_is_the_same_with_any(tmp_path):
    one, other = (load_config(None, registry, flags={"model.name": "ngram", "training.seed": seed}) for seed in (0, 3))

    assert one.model == other.model


def test_a_resolved_config_says_everything_and_reads_back_as_itself(tmp_path):
    config = load_config(
        None, registry, flags={"model.name": "lstm", "data.path": "d"}, overrides=["model.dropout=0.25"]
    )
    file = tmp_path / "resolved.toml"
    file.write_text(config.to_toml())

    again = load_config(file, registry)

    assert again == config
    assert again.model.config.dropout == 0.25


@pytest.mark.parametrize("model", registry.names("model"))
def test_the_template_of_every_model_is_valid_as_it_stands(model, tmp_path):
    file = tmp_path / "new.toml"
    file.write_text(template(registry, {"model": model}))

    without_default = {
        "arpa": {"model.file": "lm.arpa"},
        "dynamic": {"model.run": "a"},
        "ensemble": {"model.members": [{"model": {"name": "linear"}}]},
        "mixture": {"model.runs": ["a", "b"]},
        "text-ensemble": {"model.runs": ["a", "b"]},
    }
    needed = without_default.get(model, {})
    assert load_config(file, registry, flags=needed) == load_config(
        None, registry, flags={"model.name": model} | needed
    )


def test_the_schema_knows_every_section_and_every_component():
    schema = json_schema(registry)

    *models, of_run = schema["properties"]["model"]["oneOf"]
    assert {one["properties"]["name"]["const"] for one in models} == set(registry.names("model"))
    assert of_run["required"] == ["init_from"]
    assert set(schema["properties"]) == set(tomllib.loads(template(registry, {"model": "lstm", "tokenizer": "char"})))
    json.dumps(schema)


def test_a_table_inside_of_a_section_is_written_checked_and_described():
    text = template(registry, {"model": "lstm"})
    schema = json_schema(registry)

    assert tomllib.loads(text)["evaluation"]["decoding"]["beam"] == 5
    assert "\n[evaluation.decoding]  # how texts are answered" in text
    decoding = schema["properties"]["evaluation"]["properties"]["decoding"]
    assert decoding["properties"]["beam"]["minimum"] == 1
    assert '"$ref"' not in json.dumps(schema)


@pytest.mark.parametrize(
    ("decoding", "message", "hint"),
    [
        ({"bean": 1}, "unknown key evaluation.decoding.bean (did you mean 'beam'?)", "[evaluation.decoding] has beam,"),
        ({"beam": 0}, "evaluation.decoding.beam must be at least 1, got 0", ""),
        ({"top_p": 0.5}, "evaluation.decoding: top_p has no use with sample = false", ""),
        ({"beam": 2, "n_best": 3}, "evaluation.decoding: n_best must be at most beam (=2), got 3", ""),
        (
            {"min_length": 3, "max_length": 2},
            "evaluation.decoding: min_length must be at most max_length (=2), got 3",
            "",
        ),
    ],
)
def test_a_mistake_inside_of_a_table_is_named(decoding, message, hint):
    with pytest.raises(ConfigError) as error:
        core_section(Raw({"evaluation": {"decoding": decoding}}), "evaluation")

    assert error.value.message == message
    assert (error.value.hint or "").startswith(hint)


def test_the_commands_new_check_show_and_schema(lmtool, tmp_path):
    assert lmtool("config", "new", "--model", "ngram", "-o", "run.toml").code == 0
    assert lmtool("config", "new", "--model", "ngram", "-o", "run.toml").code == 2, "an existing file is kept"
    assert lmtool("config", "check", "run.toml").stderr == "run.toml: ok\n"
    shown = lmtool("config", "show", "run.toml", "--set", "model.order=3")
    assert tomllib.loads(shown.stdout)["model"]["order"] == 3
    assert lmtool("config", "show", "run.toml", "--json").json["model"]["name"] == "ngram"
    assert "properties" in lmtool("config", "schema").json
    wrong = lmtool("config", "check", "run.toml", "--set", "model.ordr=3")
    assert (wrong.code, wrong.stdout) == (2, "")
    assert wrong.stderr.splitlines()[0] == ("error: --set model.ordr=3: unknown key model.ordr (did you mean 'order'?)")


@pytest.mark.parametrize(
    ("setting", "softmax"),
    [("cutoffs=[9]", "adaptive"), ("tail_division=2.0", "adaptive"), ("num_samples=9", "sampled")],
)
def test_a_setting_of_another_softmax_is_refused(setting, softmax):
    overrides = ["model.name=lstm", f"task.{setting}"]

    with pytest.raises(ConfigError, match=f'has no use with softmax = "full", only with "{softmax}"'):
        load_config(None, registry, overrides=overrides)
    assert load_config(None, registry, overrides=[*overrides, f"task.softmax={softmax}"]).task.name == "lm"


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configs_that_come_along_are_valid_and_the_same_when_written_out(path):
    config = load_config(path, registry)

    again = resolve(Raw(tomllib.loads(config.to_toml())), registry)

    assert again.to_dict() == config.to_dict()


def test_what_has_come_later_is_no_part_of_a_runs_identity_until_it_is_set():
    overrides = ["model.name=lstm", "task.name=seq2seq"]
    settings = {"training": 'training.evaluators=["bleu"]', "task": "task.scheduled_sampling=0.5"}

    plain = load_config(None, registry, overrides=overrides)
    given = load_config(None, registry, overrides=[*overrides, *settings.values()])

    for section, key in (("training", "evaluators"), ("task", "scheduled_sampling")):
        assert key in plain.to_dict()[section]
        assert key not in plain.identity()[section]
        assert key in given.identity()[section]
        assert plain.to_dict()[section].keys() - plain.identity()[section].keys() <= {
            key, "scheduled_sampling_steps"
        }  # fmt: skip
