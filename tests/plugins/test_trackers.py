"""TensorBoard: what is logged arrives, and a missing package is named."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lmtool.config import choose_inline
from lmtool.errors import PluginError
from lmtool.registry import Registry


def make(run):
    choice = choose_inline("tracker", "tensorboard", Registry(), "training.trackers")
    return choice.load()(choice.config, run=run)


def test_what_is_logged_arrives_under_the_run(monkeypatch, tmp_path):
    told = []

    class SummaryWriter:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def close(self):
            told.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=SummaryWriter))
    tracker = make(tmp_path)
    tracker.log(5, {"train/loss": 1.5})
    tracker.close()

    assert told == [str(tmp_path / "tensorboard"), ("train/loss", 1.5, 5), "closed"]


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)

    with pytest.raises(PluginError, match="needs the package tensorboardX") as caught:
        make(tmp_path)
    assert caught.value.hint == "`pip install tensorboardX`"
