"""One run on several devices and in several processes: the same curve, one writer, common decisions."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from text_pairs import WORDS, dataset_of

# The runs that these tests look at are made once: by one worker.
pytestmark = pytest.mark.xdist_group("devices")

PROGRAM = Path(__file__).with_name("device_runs.py")
TIMEOUT = 900
"""Seconds; for a machine with much else to do."""


class Devices:
    """Starts `device_runs.py`, once or as several processes, and collects what each prints."""

    def __init__(self, folder, dataset, cache):
        self.folder, self.dataset, self.cache = folder, dataset, cache

    def __call__(self, *runs, **job):
        done = self._wait([self._start(runs, job)])[0]
        assert done["code"] == 0, done["stderr"]
        return {line["name"]: line for line in done["lines"]}

    def processes(self, *runs, count=2, cpu_devices=1):
        """What each of `count` processes printed, its exit code and stderr."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        options = [{"coordinator": address, "num_processes": count, "process_id": number} for number in range(count)]
        return self._wait([self._start(runs, {"options": one, "cpu_devices": cpu_devices}) for one in options])

    def _start(self, runs, job):
        job = {"dataset": str(self.dataset.path), "folder": str(self.folder), "runs": runs, **job}
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(self.cache), "JAX_PLATFORMS": "cpu"}
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _wait(self, started):
        try:
            outputs = [one.communicate(timeout=TIMEOUT) for one in started]
        finally:
            for one in started:
                one.kill()
        return [
            {"code": one.returncode, "lines": [json.loads(line) for line in out.splitlines()], "stderr": err}
            for one, (out, err) in zip(started, outputs, strict=True)
        ]


@pytest.fixture(scope="module")
def devices(tmp_path_factory, dataset):
    return Devices(tmp_path_factory.mktemp("runs"), dataset, tmp_path_factory.mktemp("compiled"))


def run(name, model="lstm", **settings):
    return {"name": name, "model": model, **settings}


LAYERS = ["training.layer_decay=0.5", "training.freeze=['backbone.layer_0_bias']", "training.ema_decay=0.9"]


VADG = ["optimizer.name=vadg", "optimizer.learning_rate=0.5", "training.micro_batches=2", "training.ema_decay=0.9"]


@pytest.fixture(scope="module")
def on_devices(devices):
    """Runs of one process that has four devices."""
    runs = [run(f"{model}-{number}", model, devices=number) for model in ("lstm", "cnn") for number in (1, 2, 4)]
    pieces = run("pieces", devices=4, shard_params=True, settings=["training.steps_per_dispatch=4"])
    layers = [run(f"layers-{number}", devices=number, shard_params=True, settings=LAYERS) for number in (1, 4)]
    vadg = [run(f"vadg-{number}", devices=number, settings=VADG) for number in (1, 2)]
    vadg.append(run("vadg-pieces", devices=4, shard_params=True, settings=VADG))
    return devices(*runs, pieces, *layers, *vadg, cpu_devices=4)


@pytest.fixture(scope="module")
def in_processes(devices, on_devices):
    """Two processes with a device each. One run is told to stop, first by one process, then by the other."""
    return devices.processes(
        run("lstm-processes"),
        run("cnn-processes", "cnn", shard_params=True),
        run("told", stop=["compiling", 1]),
        run("told", stop=["validating", 0]),
        run("told"),
    )


def assert_same_curve(losses, expected):
    assert [line[:2] for line in losses] == [line[:2] for line in expected]
    assert len(expected) == 50 + 3  # steps and validations
    assert [line[2] for line in losses] == pytest.approx([line[2] for line in expected], rel=1e-5)


@pytest.mark.parametrize("model", ["lstm", "cnn"])
@pytest.mark.parametrize("number", [2, 4])
def test_many_devices_learn_the_same_curve_as_one(on_devices, model, number):
    assert_same_curve(on_devices[f"{model}-{number}"]["losses"], on_devices[f"{model}-1"]["losses"])


def test_parameters_in_pieces_and_steps_in_groups_change_nothing(on_devices):
    assert_same_curve(on_devices["pieces"]["losses"], on_devices["lstm-1"]["losses"])


def test_layers_learn_at_their_own_rates_on_many_devices(on_devices):
    assert_same_curve(on_devices["layers-4"]["losses"], on_devices["layers-1"]["losses"])
    assert on_devices["layers-1"]["losses"] != on_devices["lstm-1"]["losses"]


@pytest.mark.parametrize("name", ["vadg-2", "vadg-pieces"])
def test_weights_are_sampled_alike_on_any_number_of_devices(on_devices, name):
    assert_same_curve(on_devices[name]["losses"], on_devices["vadg-1"]["losses"])


def test_samples_teach_two_devices_what_they_teach_one(devices, tmp_path):
    rows = [{"text": word, "target": word} for word in WORDS]
    echo = dataset_of(tmp_path / "echo", {"train": rows, "valid": rows})
    few = ["training.max_steps=8", "training.eval_every=4", "training.micro_batches=2"]
    start = f'model.init_from="{devices.folder / "supervised"}"'
    # The plain step: adaptive ones blow up what rounding leaves of a gradient near zero.
    plain = ["optimizer.name=sgd", "optimizer.learning_rate=0.3"]
    settings = ["task.name=reinforce", start, "task.reward=chrf", "task.kl=0.1", "task.mix=0.1", *few, *plain]

    said = ["task.name=seq2seq", "task.scheduled_sampling=0.5", *few, *plain]
    found = devices(
        run("supervised", settings=["task.name=seq2seq", *few]),
        *(run(f"rewards-{number}", devices=number, settings=settings) for number in (1, 2)),
        *(run(f"said-{number}", devices=number, settings=said) for number in (1, 2)),
        dataset=str(echo.path),
        cpu_devices=2,
    )

    for what in ("rewards", "said"):
        losses, expected = (found[f"{what}-{number}"]["losses"] for number in (2, 1))
        assert len(expected) == 8 + 2
        assert len({loss for _, _, loss in expected}) > 5  # not the same reward each time
        assert [line[:2] for line in losses] == [line[:2] for line in expected]
        assert [line[2] for line in losses] == pytest.approx([line[2] for line in expected], rel=1e-5)


@pytest.mark.parametrize("model", ["lstm", "cnn"])
def test_two_processes_learn_the_same_curve_as_one_device(on_devices, in_processes, model):
    for process in in_processes:
        lines = {line["name"]: line for line in process["lines"]}
        assert_same_curve(lines[f"{model}-processes"]["losses"], on_devices[f"{model}-1"]["losses"])


def test_parameters_in_pieces_over_processes_are_put_together_in_the_run(in_processes, devices):
    written, expected = (
        load_file(devices.folder / name / "model" / "weights.safetensors") for name in ("cnn-processes", "cnn-1")
    )

    assert {name: array.shape for name, array in written.items()} == {
        name: array.shape for name, array in expected.items()
    }


def test_what_one_process_is_told_all_do_and_go_on_to_the_same_bits(in_processes, devices):
    for number, step in ((2, 2), (3, 20)):  # two dispatches after it was told; before the first validation
        stopped = [process["lines"][number] for process in in_processes]
        assert [line["code"] for line in stopped] == [75, 75]
        assert all(f"at step {step} of 50" in line["message"] for line in stopped)
    assert in_processes[0]["lines"][4]["losses"] == in_processes[0]["lines"][0]["losses"]
    weights = [
        (devices.folder / name / "model" / "weights.safetensors").read_bytes() for name in ("told", "lstm-processes")
    ]
    assert weights[0] == weights[1]


def test_a_run_goes_on_with_another_number_of_devices(devices, on_devices):
    stopped = run("moved", devices=4, shard_params=True, stop=["validating", 0])
    first = devices(stopped, cpu_devices=4)["moved"]
    done = devices(run("moved", devices=2), cpu_devices=4)["moved"]

    assert first["code"] == 75
    assert_same_curve(done["losses"], on_devices["lstm-1"]["losses"])


def test_what_the_first_process_cannot_do_ends_all_with_its_error(devices):
    ended = devices.processes(run("full", fails=0, **{"with": "full disk"}))

    for process in ended:
        assert process["lines"][0]["code"] == 1
        assert process["lines"][0]["message"] == "cannot write the model: no space left on device"
        assert process["code"] == 0  # `device_runs.py` has caught the error, and nobody waits for anybody


def test_a_process_that_fails_alone_does_not_leave_the_other_waiting(devices):
    first, second = devices.processes(run("bug", fails=1, **{"with": "bug"}))

    assert second["code"] == 1
    assert "ValueError: a bug" in second["stderr"]
    assert first["code"] != 0 or "has lost another" in first["lines"][0]["message"]


def test_a_batch_that_devices_cannot_share_is_an_error_only_where_their_number_was_given(devices):
    uneven = ["training.batch_size=6", "training.max_steps=1"]
    found = devices(
        run("too many", devices=5), run("uneven", devices=4, settings=uneven), run("fewer", settings=uneven),
        cpu_devices=4,
    )  # fmt: skip

    assert found["too many"]["code"] == 2
    assert "--devices is 5, but JAX finds 4 here" in found["too many"]["message"]
    assert found["uneven"]["code"] == 2
    assert "4 devices cannot share training.batch_size = 6 evenly" in found["uneven"]["message"]
    assert "training.batch_size=8" in found["uneven"]["hint"]
    assert found["fewer"]["warnings"] == [
        "3 of 4 devices are used: no more can share training.batch_size = 6 evenly"
    ]  # fmt: skip


def test_batches_whose_rows_devices_cannot_share_are_told(devices, tmp_path):
    rows = [{"text": word, "target": word} for word in WORDS]
    echo = dataset_of(tmp_path / "echo", {"train": rows})
    settings = ["task.name=seq2seq", "training.max_steps=1", "training.batch_size=6"]
    found = devices(
        run("by-tokens", devices=3, settings=[*settings, "task.batch_tokens=24"]),
        run("by-rows", devices=3, settings=settings),
        dataset=str(echo.path),
        cpu_devices=3,
    )

    (warning,) = found["by-tokens"]["warnings"]
    assert warning.startswith("3 devices compute some batches each for itself: these have multiples of 4 rows")
    assert found["by-rows"]["warnings"] == []
