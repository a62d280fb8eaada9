"""What is said of devices and processes, before any of them is looked for."""

from __future__ import annotations

import pytest

from lmtool.devices import DeviceOptions
from lmtool.errors import UsageError


def test_without_options_there_is_one_process():
    assert not DeviceOptions().check().in_processes
    assert DeviceOptions(distributed=True).check().in_processes
    assert DeviceOptions(coordinator="a:1", num_processes=2, process_id=1).check().in_processes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "--devices must be at least 1, got 0"),
        ({"coordinator": "a:1"}, "--num-processes is missing"),
        ({"num_processes": 2, "process_id": 0}, "--coordinator is missing"),
        ({"coordinator": "a:1", "num_processes": 0, "process_id": 0}, "--num-processes must be at least 1, got 0"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, "--process-id must be 0 to 1, got 2"),
        ({"coordinator": "here", "num_processes": 2, "process_id": 0}, "--coordinator must be HOST:PORT, got 'here'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(options, message):
    with pytest.raises(UsageError, match=message):
        DeviceOptions(**options).check()


def test_the_command_line_says_it_before_it_reads_anything(lmtool):
    done = lmtool("train", "nosuch.toml", "--coordinator", "localhost:1")

    assert done.code == 2
    assert "--num-processes is missing" in done.stderr
    assert "--distributed" in done.stderr


def test_without_a_cluster_the_processes_are_not_found(lmtool, tmp_path):
    (tmp_path / "text.txt").write_text("a b c\n" * 50)

    done = lmtool("train", "--model", "lstm", "--data", "text.txt", "--tokenizer", "char", "--distributed")

    assert done.code == 2
    assert "the processes of this training do not find each other" in done.stderr
    assert "--coordinator HOST:PORT" in done.stderr


def test_a_counted_model_takes_one_process(dataset, registry, tmp_path):
    from lmtool.config import load_config
    from lmtool.signals import StopRequest
    from lmtool.training import train
    from lmtool.training.processes import Processes

    config = load_config(None, registry, flags={"model.name": "ngram", "data.path": str(dataset.path)}, overrides=())
    with pytest.raises(UsageError, match="model 'ngram' is estimated by one process, not by 2"):
        train(config, dataset, tmp_path / "run", registry, stop=StopRequest(), processes=Processes(0, 2))
