"""The run folder: made whole, opened with care, loaded without what training needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lmtool.errors import ConfigError, DataError, ExitCode, PluginError
from lmtool.run import Run
from lmtool.run_changes import check_unchanged


@pytest.fixture(scope="module")
def finished(tmp_path_factory, trainer_in):
    return trainer_in(tmp_path_factory.mktemp("runs"))("run", "training.max_steps=3")


@pytest.fixture
def run(finished, tmp_path):
    """A copy to do harm to."""
    import shutil

    shutil.copytree(finished.path, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


def test_a_run_remembers_what_it_was_made_of(run, dataset):
    assert run.config["model"]["name"] == "lstm"
    assert run.config["optimizer"]["learning_rate"] == 0.002  # a default, resolved
    assert {one["kind"]: one["name"] for one in run.components} == {
        "tokenizer": "char", "task": "lm", "model": "lstm", "optimizer": "adamw", "step": "descent",
    }  # fmt: skip
    assert all(one["distribution"] == "lmtool" and one["distribution_version"] for one in run.components)
    assert run.tokenizer.fingerprint == dataset.fingerprint == run.dataset_fingerprint
    assert run.dataset_path == dataset.path


def test_a_model_is_loaded_without_optimizer_or_orbax(finished):
    code = (
        "import sys; from lmtool.run import Run; "
        f"model = Run.open({str(finished.path)!r}).language_model(); model.initial_state(1); "
        "print(sorted({'orbax', 'optax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_opening_a_run_imports_no_jax(finished):
    code = (
        f"import sys; from lmtool.run import Run; Run.open({str(finished.path)!r}).config; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_dataset_that_has_gone_is_no_dataset(run):
    run.record["dataset"]["path"] = "/nowhere"

    assert run.dataset_path is None


@pytest.mark.parametrize(("name", "content", "message"), [
    ("run.json", "{", r"run\.json is damaged"),
    ("run.json", '{"format": "other"}', r"run\.json is damaged: format is 'other'"),
    ("run.json", '{"format": "lmtool-run"}', r"run\.json is damaged"),
])  # fmt: skip
def test_a_damaged_record_is_named(run, name, content, message):
    (run.path / name).write_text(content)

    with pytest.raises(DataError, match=message):
        Run.open(run.path)


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        Run.open(tmp_path)
    with pytest.raises(DataError, match="no run"):
        Run.open(tmp_path / "missing")


def test_a_run_of_a_newer_version_is_refused(run):
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, "version": 99}))

    with pytest.raises(DataError, match="format version 99"):
        Run.open(run.path)


def test_a_run_without_a_model_says_how_to_go_on(run):
    import shutil

    shutil.rmtree(run.path / "model")

    with pytest.raises(DataError, match="has no model yet") as caught:
        run.language_model()
    assert "lmtool train" in caught.value.hint


def test_damaged_weights_are_named(run):
    path = run.path / "model" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(DataError, match=r"weights\.safetensors is damaged"):
        run.language_model()


def test_a_missing_plugin_is_named_with_the_distribution_that_brings_it(run):
    for name in ("run.json", "config.toml"):
        path = run.path / name
        path.write_text(path.read_text().replace('"lstm"', '"gone"'))
    record = json.loads((run.path / "run.json").read_text())
    for one in record["components"]:
        if one["kind"] == "model":
            one |= {"distribution": "lmtool-gone", "distribution_version": "1.2"}
    (run.path / "run.json").write_text(json.dumps(record))

    with pytest.raises(PluginError, match=r"needs model 'gone' of lmtool-gone 1\.2") as caught:
        Run.open(run.path).language_model()
    assert caught.value.exit_code == ExitCode.PLUGIN
    assert "pip install lmtool-gone" in caught.value.hint


def test_a_folder_with_something_else_is_left_alone(trainer):
    (trainer.folder / "mine").mkdir()
    (trainer.folder / "mine" / "thesis.txt").write_text("words")

    for force in (False, True):
        with pytest.raises(DataError, match="exists and is not a run"):
            trainer("mine", force=force)
    assert (trainer.folder / "mine" / "thesis.txt").read_text() == "words"


def test_other_data_is_refused(run, trainer, dataset):
    run.record["dataset"]["key"] = "0" * 64

    with pytest.raises(ConfigError, match="was begun with other data"):
        check_unchanged(run, trainer.config(), dataset)


def test_a_run_that_is_being_trained_is_not_thrown_away(trainer):
    run = trainer("busy", "training.max_steps=1")

    with run.locked(), pytest.raises(DataError, match="another process is training"):
        trainer("busy", "training.max_steps=1", force=True)


def test_a_run_is_not_finished_by_another_version_of_a_component(run, trainer, monkeypatch):
    record = json.loads((run.path / "run.json").read_text())
    record["state"] = "started"
    record["components"] = [{**one, "version": 7} if one["kind"] == "model" else one for one in record["components"]]
    (run.path / "run.json").write_text(json.dumps(record))

    with pytest.raises(ConfigError, match=r"was begun with version 7 of model 'lstm', now it is 1"):
        trainer(run.path, "training.max_steps=3")


def test_a_setting_that_has_come_since_has_its_default(run, trainer):
    config = (run.path / "config.toml").read_text()
    assert "locked_dropout = true\n" in config
    (run.path / "config.toml").write_text(config.replace("locked_dropout = true\n", ""))

    assert trainer(run.path, "training.max_steps=3").is_finished
