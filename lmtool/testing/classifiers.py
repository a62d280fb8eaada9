"""What every fitted classifier must do: give probabilities, look at each document alone, and come back as it was.

It is fitted on the kit's small labelled text; a language model becomes a classifier of it by Bayes' rule. Figures that
were computed beside other documents may differ in their last bits; `TOLERANCE` is far above that.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lmtool.api import Document
from lmtool.errors import DataError, Interrupted, LmtoolError
from lmtool.testing.saved import check_no_pickles, raised

if TYPE_CHECKING:
    from lmtool.api import Classifier, FittedClassifier
    from lmtool.data.dataset import Dataset
    from lmtool.testing.subject import Subject

TOLERANCE = 1e-6
"""Nats."""


@dataclass(frozen=True)
class Fitted:
    """A classifier of the kit's text, and documents that it did not learn."""

    component: FittedClassifier
    dataset: Dataset
    model: Classifier
    documents: list[Document]


def fit(subject: Subject, *, multi: bool = False) -> Fitted:
    """Fit it anew."""
    from lmtool.testing.corpus import labelled_dataset

    folder = Path(tempfile.mkdtemp())
    dataset = labelled_dataset(folder / "data", multi=multi)
    (folder / "scratch").mkdir()
    component = _component(subject)
    model = component.fit(dataset, progress=lambda phase, fraction: None, scratch=folder / "scratch")
    made = Fitted(component, dataset, model, list(dataset.split("test").documents()))
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)  # the model may go on using files in it
    return made


def _component(subject: Subject) -> FittedClassifier:
    """The classifier itself; of a language model, one a class."""
    from lmtool.tasks.classify.generative import Generative

    made = subject.load()(subject.config)
    classifier: FittedClassifier = made if "classifier" in subject.component.capabilities else Generative(made)
    return classifier


_FITTED: dict[tuple[str, str], Fitted] = {}


def _fitted(subject: Subject) -> Fitted:
    """The classifier under test; fitted once for each setting, as no check may change it."""
    key = subject.component.target, subject.config.model_dump_json()
    if key not in _FITTED:
        _FITTED[key] = fit(subject)
    return _FITTED[key]


# What is asked for ----------------------------------------------------------------------------------------------------


def check_knows_its_classes(subject: Subject) -> None:
    """`labels`, `multi_label` and `vocab_size` are the dataset's."""
    made = _fitted(subject)
    for name, value, expected in (
        ("labels", made.model.labels, made.dataset.label_names),
        ("multi_label", made.model.multi_label, False),
        ("vocab_size", made.model.vocab_size, made.dataset.vocab_size),
    ):
        assert value == expected, f"{name} is {value!r}, the dataset's {expected!r}"


def check_rows_sum_to_one(subject: Subject) -> None:
    """`log_probs` is float64 [D, C], and each row's exponentials sum to one, for any D, 0 included."""
    made = _fitted(subject)
    for number in (0, 1, len(made.documents)):
        log_probs = made.model.log_probs(made.documents[:number])
        shape = (number, len(made.model.labels))
        assert log_probs.shape == shape, f"log_probs of {number} documents has shape {log_probs.shape}, not {shape}"
        assert log_probs.dtype == np.float64, f"log_probs has type {log_probs.dtype}, not float64"
        sums = np.exp(log_probs).sum(axis=1)
        assert np.allclose(sums, 1, rtol=0, atol=TOLERANCE), f"the probabilities of a document sum to {sums}"


def check_learns(subject: Subject) -> None:
    """Of documents that it did not see, but whose words tell the class, it gets nine of ten right."""
    made = _fitted(subject)
    right = made.model.log_probs(made.documents).argmax(axis=1) == made.dataset.split("test").label_ids
    assert right.mean() >= 0.9, f"{right.mean():.0%} of the documents are given their class"


def check_batch_does_not_matter(subject: Subject) -> None:
    """What is said of a document does not depend on those beside it, nor on their order."""
    made = _fitted(subject)
    whole = made.model.log_probs(made.documents)
    alone = np.concatenate([made.model.log_probs([one]) for one in made.documents])
    backwards = made.model.log_probs(made.documents[::-1])[::-1]

    _equal(alone, whole, "a document alone is judged in another way than among others")
    _equal(backwards, whole, "the order of documents changes what is said of them")


def check_threads_may_call_at_once(subject: Subject) -> None:
    """Several threads get what one would get."""
    made = _fitted(subject)
    whole = made.model.log_probs(made.documents)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(made.model.log_probs, [made.documents] * 8))

    for one in results:
        _equal(one, whole, "threads that ask at once get other figures")


def check_any_document_is_judged(subject: Subject) -> None:
    """A document that is empty, or of words that nobody has seen, has finite probabilities like every other."""
    made = _fitted(subject)
    eos_id, unk_id = made.dataset.eos_id, made.dataset.unk_id
    ids = np.array([eos_id if unk_id is None else unk_id, eos_id], np.int32)
    odd = [
        Document(np.zeros(0, np.int32), ""),
        Document(np.array([eos_id], np.int32), ""),
        Document(ids, "zxqv"),
        Document(np.tile(ids, 50), "\n".join(["zxqv \u4f60\u597d \U0001f600"] * 50)),
    ]
    log_probs = made.model.log_probs(odd)
    for one, row in zip(odd, log_probs, strict=True):
        assert np.isfinite(row).all(), f"the document {one.text[:20]!r} has the log-probabilities {row}"


def check_every_class_is_possible(subject: Subject) -> None:
    """No class has probability zero: the log loss of a single surprise would be infinite."""
    made = _fitted(subject)
    log_probs = made.model.log_probs(made.documents)
    assert np.isfinite(log_probs).all(), f"a class has the log-probability {log_probs.min()}"


def check_save_then_load(subject: Subject) -> None:
    """What was saved is read back as it was, bit for bit, without a pickle."""
    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.model.save(folder)
        again = made.component.load(folder)

        assert (again.labels, again.multi_label) == (made.model.labels, made.model.multi_label)
        assert again.vocab_size == made.model.vocab_size
        log_probs = again.log_probs(made.documents)
        assert (log_probs == made.model.log_probs(made.documents)).all(), "what was loaded gives other figures"
        check_no_pickles(folder)


def check_a_damaged_file_is_an_error(subject: Subject) -> None:
    """A file that is missing is a DataError, as is one that was cut short or overwritten, where that is noticed."""
    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.model.save(folder)
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            content = file.read_bytes()
            file.unlink()
            error = raised(lambda: made.component.load(folder).log_probs(made.documents))
            assert error is None or isinstance(error, DataError), f"without {file.name}: {error!r}"
            assert error is not None or not content, f"nobody misses {file.name}"
            file.write_bytes(content[: len(content) // 2])
            error = raised(lambda: made.component.load(folder))
            assert error is None or isinstance(error, LmtoolError), f"with half of {file.name}: {error!r}"
            file.write_bytes(content)


def check_same_seed_same_classifier(subject: Subject) -> None:
    """Fitted again to the same dataset, it gives the same figures, bit for bit."""
    made, again = _fitted(subject), fit(subject)

    assert (again.model.log_probs(again.documents) == made.model.log_probs(made.documents)).all(), (
        "a second classifier of the same text gives other figures"
    )


def check_goes_on_from_its_scratch(subject: Subject) -> None:
    """If it says `resumable`: interrupted half-way and called again with the same folder, it gives the same figures."""
    if "resumable" not in subject.component.capabilities or "classifier" not in subject.component.capabilities:
        return
    made, component = _fitted(subject), _component(subject)

    def interrupt(phase: str, fraction: float) -> None:
        if fraction >= 0.5:
            raise Interrupted("half-way")

    with tempfile.TemporaryDirectory() as name:
        with contextlib.suppress(Interrupted):
            component.fit(made.dataset, progress=interrupt, scratch=Path(name))
        model = component.fit(made.dataset, progress=lambda phase, fraction: None, scratch=Path(name))
        again = model.log_probs(made.documents)

    assert (again == made.model.log_probs(made.documents)).all(), "after an interruption it gives other figures"


def check_only_training_documents_count(subject: Subject) -> None:
    """Without its other splits, the dataset gives the same classifier."""
    from lmtool.data.subset import write_subset

    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        everything = np.arange(made.dataset.split("train").num_documents)
        alone = write_subset(made.dataset, Path(name) / "train", {"train": ("train", everything)})
        (Path(name) / "scratch").mkdir()
        component = _component(subject)
        model = component.fit(alone, progress=lambda phase, fraction: None, scratch=Path(name) / "scratch")
        _equal(
            model.log_probs(made.documents),
            made.model.log_probs(made.documents),
            "without the validation and test splits, another classifier is fitted",
        )


def check_no_labels_is_an_error(subject: Subject) -> None:
    """A dataset without labels is a DataError, which names the cure."""
    from lmtool.testing.corpus import tiny_dataset

    with tempfile.TemporaryDirectory() as name:
        dataset = tiny_dataset(Path(name) / "data")
        (Path(name) / "scratch").mkdir()
        component = _component(subject)
        error = raised(
            lambda: component.fit(dataset, progress=lambda phase, fraction: None, scratch=Path(name) / "scratch")
        )
    assert isinstance(error, DataError), f"fitting to a dataset without labels raises {error!r}, not a DataError"
    assert error.hint, "the error names no cure"


def check_several_labels(subject: Subject) -> None:
    """Documents with any number of labels: each gets a probability of its own, or a one-line error refuses them."""
    try:
        made = fit(subject, multi=True)
    except LmtoolError:
        return
    log_probs = made.model.log_probs(made.documents)

    assert made.model.multi_label, "`multi_label` is False, and documents have several labels"
    assert (log_probs <= 0).all(), f"a label has the log-probability {log_probs.max()}"
    right = (log_probs >= np.log(0.5)) == made.dataset.split("test").label_matrix
    assert right.mean() >= 0.75, f"{right.mean():.0%} of the labels are right"


def _equal(one: np.ndarray, other: np.ndarray, message: str) -> None:
    difference = float(np.abs(one - other).max(initial=0))
    assert difference <= TOLERANCE, f"{message}: they differ by {difference:.3g} nats"


CHECKS = (
    check_knows_its_classes,
    check_rows_sum_to_one,
    check_learns,
    check_batch_does_not_matter,
    check_threads_may_call_at_once,
    check_any_document_is_judged,
    check_every_class_is_possible,
    check_save_then_load,
    check_a_damaged_file_is_an_error,
    check_same_seed_same_classifier,
    check_goes_on_from_its_scratch,
    check_only_training_documents_count,
    check_no_labels_is_an_error,
    check_several_labels,
)
