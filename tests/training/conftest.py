"""A small corpus and a small model, trained in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from lmtool.config import RunConfig, load_config
from lmtool.data.dataset import Dataset
from lmtool.registry import Registry
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.testing.corpus import tiny_dataset
from lmtool.training import train

SETTINGS = (
    "model.hidden_size=12",
    "training.batch_size=4",
    "training.bptt=16",
    "training.max_steps=24",
    "training.eval_every=8",
    "training.log_every=5",
    "training.checkpoint_every=6",
)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same small model is trained again and again; its compiled functions are the same, too."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry(third_party=False)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("corpus"))


class Trainer:
    """Trains small LSTMs on the small corpus; a later call with the same name goes on with the same run."""

    def __init__(self, folder: Path, dataset: Dataset, registry: Registry) -> None:
        self.folder, self.dataset, self.registry = folder, dataset, registry
        self.warnings: list[str] = []
        self.phases: list[str] = []
        self.stop = StopRequest()

    def config(self, *overrides: str) -> RunConfig:
        settings = [f'data.path="{self.dataset.path}"', *SETTINGS, *overrides]
        return load_config(None, self.registry, flags={"model.name": "lstm"}, overrides=settings)

    def __call__(self, name: str, *overrides: str, dataset: Dataset | None = None, **options: Any) -> Run:
        self.stop = StopRequest()
        return train(
            self.config(*overrides),
            dataset or self.dataset,
            self.folder / name,
            self.registry,
            stop=self.stop,
            warn=self.warnings.append,
            **{"report": lambda phase, fraction, **fields: self.phases.append(phase), **options},
        )

    def stop_when(self, wanted: str, count: int = 1) -> Any:
        """A `report` that acts as a signal would when a phase is reported for the n-th time."""
        seen = [0]

        def report(phase: str, fraction: float, **fields: str) -> None:
            seen[0] += phase == wanted
            if seen[0] == count and phase == wanted:
                self.stop.signal_name = "SIGTERM"

        return report


@pytest.fixture(scope="session")
def trainer_in(dataset: Dataset, registry: Registry) -> Callable[[Path], Trainer]:
    return lambda folder: Trainer(folder, dataset, registry)


@pytest.fixture
def trainer(tmp_path: Path, trainer_in: Callable[[Path], Trainer]) -> Trainer:
    return trainer_in(tmp_path)
