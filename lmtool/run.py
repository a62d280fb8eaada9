"""The run folder: everything that a trained model is, and everything needed to go on training it.

RUN/
  run.json          format version, components with versions, dataset, state, best figure
  config.toml       resolved: every setting, defaults included
  tokenizer/        see `lmtool.data.tokenizer_folder`
  target-tokenizer/ of what a text-to-text model gives, where that has a tokenizer of its own
  metrics.jsonl     see `lmtool.training.metrics_log`
  checkpoints/      see `lmtool.training.checkpoint`; models that take steps only
  model/            the best model: weights and JSON, with checksums
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool import __version__, pretrained
from lmtool.checksums import NAME as CHECKSUMS
from lmtool.checksums import verify_checksums, write_checksums
from lmtool.contents import components, contents, imported
from lmtool.errors import DataError, PluginError
from lmtool.files import atomic_folder, explain_os_errors, held, recover_folder, write_atomic
from lmtool.jax_setup import prepare_jax
from lmtool.predicts import KINDS
from lmtool.records import read_record
from lmtool.tasks.fitted import fitted_model, predicted_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Answerer, Classifier, LanguageModel, Tokenizer
    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.predicts import Predicts
    from lmtool.registry import Registry

FORMAT = "lmtool-run"
FORMAT_VERSION = 1
RECORD = "run.json"
GO_ON = "run the same `lmtool train` again to go on"
HINTS: dict[str, str] = {
    "tokens": "`lmtool score {run}` gives lines of text their probabilities",
    "classes": "`lmtool predict {run}` gives documents their classes, `lmtool eval` says how well",
    "texts": "`lmtool predict {run}` answers documents with texts, `lmtool eval` says how well",
}
"""What to do with a run's model, by what it predicts."""


class Run:
    """A run folder. Open one with `Run.open`, make one with `Run.create`."""

    def __init__(self, path: Path, record: dict[str, Any], registry: Registry) -> None:
        self.path, self.record = path, record
        self.registry = registry

    @classmethod
    def open(cls, path: str | Path, registry: Registry | None = None) -> Run:
        """Raises DataError if it is no run, was written by a newer version, or is damaged."""
        path = Path(path)
        if registry is None:
            from lmtool.registry import Registry

            registry = Registry()
        return cls(path, _read_record(path), registry)

    @classmethod
    def create(cls, path: Path, config: RunConfig, dataset: Dataset, registry: Registry, *, force: bool) -> Run:
        """A new run folder, without a model yet.

        Raises:
            DataError: if something else is there; with `force` a run is replaced, but never anything else.
        """
        from lmtool.data.reading import reader_of
        from lmtool.data.tokenizer_folder import FOLDER, TARGET_FOLDER

        if not path.name:
            raise DataError(f"{path} cannot be made a run", hint="`-o` names a new folder, as in `-o runs/lstm`")
        is_run = (path / RECORD).is_file()
        if path.exists() and not (force and is_run) and not (path.is_dir() and not any(path.iterdir())):
            what = "holds a run already" if is_run else "exists and is not a run"
            raise DataError(f"{path} {what}", hint="give another name with `-o`")
        record = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "lmtool": __version__,
            "state": "started",
            "components": components(config, dataset, registry),
            "dataset": {
                "path": str(dataset.path.absolute()),
                "key": dataset.key,
                "fingerprint": dataset.fingerprint,
                "labels": dataset.record.get("labels"),
                "reader": reader_of(dataset.record),
                **({"targets": list(dataset.target_fields)} if dataset.target_fields else {}),
            },
            "result": {},
            **imported(config),
            **contents(config, registry, lambda path: Run.open(path, registry).model_digest),
            **pretrained.record(config, dataset, path),
        }
        # Whoever still trains the run that is replaced would go on writing into the new one.
        with _locked(path) if is_run else contextlib.nullcontext(), atomic_folder(path, replace=is_run) as scratch:
            (scratch / "config.toml").write_text(config.to_toml(), encoding="utf-8")
            for folder in (FOLDER, TARGET_FOLDER) if dataset.has_target_tokenizer else (FOLDER,):
                shutil.copytree(dataset.path / folder, scratch / folder)
            (scratch / RECORD).write_text(_to_json(record), encoding="utf-8")
        return cls(path, record, registry)

    @property
    def is_finished(self) -> bool:
        return bool(self.record["state"] == "finished")

    @property
    def result(self) -> dict[str, Any]:
        """Figures of the best model: `step`, `valid_token_perplexity` and the like; empty before the end."""
        return dict(self.record["result"])

    @property
    def components(self) -> list[dict[str, Any]]:
        """Kind, name, versions and distribution of each component that was used."""
        return list(self.record["components"])

    @property
    def dataset_path(self) -> Path | None:
        """The dataset that was learned from, if it is still there."""
        path = Path(self.record["dataset"]["path"])
        return path if path.is_dir() else None

    def learned_dataset(self) -> Dataset | None:
        """The dataset that was learned from; None if it is gone or damaged, or another lies in its place."""
        from lmtool.data.dataset import Dataset

        if self.dataset_path is None:
            return None
        try:
            dataset = Dataset.open(self.dataset_path, self.registry)
        except DataError:
            return None
        return dataset if dataset.key == self.record["dataset"]["key"] and "train" in dataset.split_names else None

    @property
    def dataset_fingerprint(self) -> str:
        """Of the tokenizer that made the dataset."""
        return str(self.record["dataset"]["fingerprint"])

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config, section by section."""
        path = self.path / "config.toml"
        try:
            return tomllib.loads(path.read_bytes().decode("utf-8"))
        except OSError as error:
            raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"{path} is damaged: {error}") from None

    @property
    def reader(self) -> dict[str, Any]:
        """`name` and settings of what read the training text; empty if nobody knows."""
        given = self.config["data"].get("reader", {})
        return dict(given if "name" in given else self.record["dataset"].get("reader") or {})

    @property
    def target_fields(self) -> tuple[str, ...]:
        """The fields of records that held what its model learned to answer; none of a model of another kind."""
        return tuple(map(str, self.record["dataset"].get("targets", ())))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from lmtool.data.tokenizer_folder import FOLDER, load_tokenizer

        return load_tokenizer(self.path / FOLDER, self.registry)

    @cached_property
    def target_tokenizer(self) -> Tokenizer:
        """Of what a text-to-text model gives: the same object as `tokenizer`, if there is only one."""
        from lmtool.data.tokenizer_folder import open_target_tokenizer

        own = open_target_tokenizer(self.path, self.registry)
        return own[0] if own else self.tokenizer

    @cached_property
    def predicts(self) -> Predicts:
        """What its model gives: probabilities of tokens, those of classes, or texts."""
        return predicted_by(self._choice("task"))

    def language_model(self) -> LanguageModel:
        """The best model so far.

        Raises:
            DataError: if there is none yet, it is damaged, or it is a model of another kind.
            PluginError: if the plugin that made it is not installed.
        """
        self._check_predicts("tokens")
        model: LanguageModel = self._model()
        return model

    def classifier(self) -> Classifier:
        """As `language_model`, of a run that gives documents classes."""
        self._check_predicts("classes")
        model: Classifier = self._model()
        return model

    def text_model(self) -> Answerer:
        """As `language_model`, of a run that answers documents with texts: a `lmtool.api.TextModel` of one that also
        gives texts probabilities."""
        self._check_predicts("texts")
        model: Answerer = self._model()
        return model

    def _check_predicts(self, wanted: Predicts) -> None:
        if self.predicts != wanted:
            hint = HINTS[self.predicts].format(run=self.path)
            raise DataError(f"{self.path} is {KINDS[self.predicts]}, not {KINDS[wanted]}", hint)

    def _model(self) -> Any:
        folder = self.path / "model"
        if not folder.is_dir():
            raise DataError(f"{self.path} has no model yet", hint=GO_ON)
        model = self._choice("model")
        is_fitted = "fitted" in model.found.component.capabilities
        # A network is read wholly in any case. The tables of a fitted model are gigabytes that are mapped, not read.
        verify_checksums(folder, quick=is_fitted, hint=self._start_over)
        task = self._choice("task")
        if is_fitted:
            return fitted_model(model, task).load(folder)
        prepare_jax()
        made = {"backbone": model.load()(model.config)}
        if encoder := self._encoder(task, model):
            made["encoder"] = encoder.load()(encoder.config)
        return task.load().load(folder, task.config, **made)

    def _encoder(self, task: Choice, model: Choice) -> Choice | None:
        from lmtool.config import encoder_of

        try:
            return encoder_of(task, model, self.registry)
        except PluginError as error:
            raise self._missing("model", error) from error

    def verify(self) -> None:
        """Read all that is there. Raises DataError naming the first file that is not what was written."""
        _ = self.config, self.tokenizer, self.target_tokenizer
        if self.is_finished or (self.path / "model").is_dir():
            verify_checksums(self.path / "model", hint=self._start_over)
        for checkpoint in sorted((self.path / "checkpoints").glob("step-*")):
            verify_checksums(checkpoint, hint=f"remove {checkpoint}; the one before it is used then")

    @property
    def _start_over(self) -> str:
        return f"remove {self.path} and train again"

    @property
    def model_digest(self) -> str:
        """sha256 of its model's checksums. Raises DataError if it has no model yet."""
        from lmtool.data.reading import digest_of_file

        folder = self.path / "model"
        if not folder.is_dir():
            raise DataError(f"{self.path} has no model yet", hint=GO_ON)
        return digest_of_file(folder / CHECKSUMS)

    def write_model(self, model: LanguageModel | Classifier | Answerer, posterior: Any = None) -> None:
        """Put a model in the place of the one that is there.

        Args:
            model: Its parameters are the mean, if there is a posterior.
            posterior: Standard deviations of the parameters, a pytree like them; see `lmtool.api.VariationalOptimizer`.
        """
        with atomic_folder(self.path / "model", replace=True) as folder:
            model.save(folder)
            if posterior is not None:
                from lmtool.tasks import stored

                (folder / stored.POSTERIOR).write_bytes(stored.to_safetensors(posterior))
            write_checksums(folder)

    @contextlib.contextmanager
    def scratch(self, *, resumable: bool = False) -> Iterator[Path]:
        """A folder inside the run's, for as long as the block lasts.

        Args:
            resumable: Whether the block can go on from what an interrupted one left there: then that is kept, and only
                a block that comes to its end removes it. Else the folder is empty, and removed in any case.
        """
        folder = self.path / ".scratch"
        if not resumable:
            shutil.rmtree(folder, ignore_errors=True)
        with explain_os_errors(folder):
            folder.mkdir(exist_ok=resumable)
        try:
            yield folder
        except BaseException:
            if not resumable:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Note that training is over."""
        self.record = {**self.record, "state": "finished", "result": result}
        write_atomic(self.path / RECORD, _to_json(self.record))

    @contextlib.contextmanager
    def locked(self) -> Iterator[Run]:
        """Keep other processes from training the same run, and see what they left of it.

        Raises:
            DataError: if one trains it now.
        """
        with _locked(self.path):
            self.record = _read_record(self.path)  # another process may have finished it meanwhile
            recover_folder(self.path / "model")
            yield self

    def _choice(self, kind: str) -> Choice:
        from lmtool.config import choose
        from lmtool.raw_config import Raw

        try:
            return choose(Raw(self.config, source=str(self.path / "config.toml")), kind, self.registry)
        except PluginError as error:
            raise self._missing(kind, error) from error

    def _missing(self, kind: str, error: PluginError) -> PluginError:
        for one in self.components:
            if one["kind"] == kind:
                distribution = f"{one['distribution']} {one['distribution_version']}"
                message = f"{self.path} needs {kind} '{one['name']}' of {distribution}, which cannot be used here"
                return PluginError(message, hint=f"`pip install {one['distribution']}` brings it")
        return error


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    return held(path / ".lock", f"another process is training {path}")


def _read_record(path: Path) -> dict[str, Any]:
    makes_one = "`lmtool train -o RUN` makes one"
    return read_record(path / RECORD, "run", version=FORMAT_VERSION, check=_check_record, makes_one=makes_one)


def _check_record(record: Any) -> None:
    _ = record["state"], record["result"], record["components"], record["dataset"]["key"]


def _to_json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


__all__ = ["RECORD", "Run"]
