"""A trained run as a part of another model: opened by its path, kept in the other's folder, opened again from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lmtool.checksums import write_checksums
from lmtool.run import RECORD, Run

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool.api import Answerer, Classifier, LanguageModel

Model = TypeVar("Model", "LanguageModel", "Classifier", "Answerer")


@dataclass(frozen=True)
class _Part(Generic[Model]):
    name: str
    """What the user called it."""
    run: Run
    model: Model

    def save(self, folder: Path) -> None:
        """All that opening it takes: no checkpoints, and no tokenizer, which is that of the model it is a part of."""
        (folder / "model").mkdir(parents=True)
        for file in (RECORD, "config.toml"):
            (folder / file).write_bytes((self.run.path / file).read_bytes())
        self.model.save(folder / "model")
        write_checksums(folder / "model")


class Part(_Part["LanguageModel"]):
    """A trained language model."""

    @classmethod
    def open(cls, name: str, folder: str | Path) -> Part:
        """Raises DataError if it is no run, has no model yet, or is damaged."""
        run = Run.open(folder)
        return cls(name, run, run.language_model())


class ClassifierPart(_Part["Classifier"]):
    """A trained classifier."""

    @classmethod
    def open(cls, name: str, folder: str | Path) -> ClassifierPart:
        """Raises DataError if it is no run, has no model yet, or is damaged."""
        run = Run.open(folder)
        return cls(name, run, run.classifier())


class TextPart(_Part["Answerer"]):
    """A trained text-to-text model."""

    @classmethod
    def open(cls, name: str, folder: str | Path) -> TextPart:
        """Raises DataError if it is no run, has no model yet, or is damaged."""
        run = Run.open(folder)
        return cls(name, run, run.text_model())


__all__ = ["ClassifierPart", "Part", "TextPart"]
