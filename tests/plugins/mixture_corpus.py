"""A small corpus and the small runs that mixtures are made of, trained once for all tests of this process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from lmtool.config import load_config
from lmtool.data.dataset import Dataset
from lmtool.registry import Registry
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.testing.corpus import tiny_dataset
from lmtool.training import train

RUNS = {
    "trigram": ("ngram", "model.order=3"),
    "unigram": ("ngram", "model.order=1"),
    "lstm": ("lstm", "model.hidden_size=12", "training.max_steps=40", "training.batch_size=4", "training.bptt=16"),
}


class Corpus:
    """A dataset and its runs, trained when they are first asked for."""

    def __init__(self, folder: Path, tokenizer: str) -> None:
        self.folder = folder
        self.registry = Registry(third_party=False)
        self.dataset: Dataset = tiny_dataset(folder / "text", tokenizer)
        self.ids = self.dataset.split("test").read(0, 3 * 40).reshape(3, 40)

    def run(self, name: str) -> str:
        """The path of a run in `RUNS`."""
        if not (self.folder / name).exists():
            self.train(self.folder / name, *RUNS[name])
        return str(self.folder / name)

    def train(self, path: Path | str, model: str, *overrides: str) -> str:
        """The path of a new run."""
        data = f'data.path="{self.dataset.path}"'
        config = load_config(None, self.registry, flags={"model.name": model}, overrides=[data, *overrides])
        path = self.folder / path
        train(config, self.dataset, path, self.registry, stop=StopRequest())
        return str(path)

    def fit(self, fitted):
        """The model that a `FittedModel` makes of the dataset."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            return fitted.fit(self.dataset, progress=lambda phase, fraction: None, scratch=Path(scratch))

    def model(self, run: str):
        return Run.open(run).language_model()

    def copy(self, name: str, path: Path) -> None:
        shutil.copytree(self.run(name), path)

    def remove(self, path: Path) -> None:
        shutil.rmtree(path)


@lru_cache
def made(tokenizer: str = "char") -> Corpus:
    folder = tempfile.mkdtemp(prefix="mixture-corpus-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Corpus(Path(folder), tokenizer)
