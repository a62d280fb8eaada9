"""What every fitted model that answers texts with texts must do: answer each document alone, and come back as it was.

It is fitted to the kit's small text of questions, contexts and answers.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import Document
from lmtool.errors import DataError, LmtoolError
from lmtool.settings import DecodingConfig
from lmtool.testing.saved import check_no_pickles, raised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import Answerer, FittedTextModel
    from lmtool.data.dataset import Dataset
    from lmtool.testing.subject import Subject

    Said = list[list[tuple[list[int], float, float, str | None]]]

USUAL = DecodingConfig.model_validate({})


@dataclass(frozen=True)
class Fitted:
    """A model of the kit's text, and documents that it did not learn."""

    component: FittedTextModel
    dataset: Dataset
    model: Answerer
    documents: list[Document]


def fit(subject: Subject) -> Fitted:
    """Fit it anew."""
    from lmtool.testing.corpus import answered_dataset

    folder = Path(tempfile.mkdtemp())
    dataset = answered_dataset(folder / "data")
    (folder / "scratch").mkdir()
    component: FittedTextModel = subject.load()(subject.config)
    model = component.fit(dataset, progress=lambda phase, fraction: None, scratch=folder / "scratch")
    made = Fitted(component, dataset, model, list(dataset.split("test").documents()))
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)  # the model may go on using files in it
    return made


_FITTED: dict[tuple[str, str], Fitted] = {}


def _fitted(subject: Subject) -> Fitted:
    """The model under test; fitted once for each setting, as no check may change it."""
    key = subject.component.target, subject.config.model_dump_json()
    if key not in _FITTED:
        _FITTED[key] = fit(subject)
    return _FITTED[key]


def said(model: Answerer, documents: Sequence[Document], **decoding: Any) -> Said:
    """All that a model says of documents, as values that compare."""
    found = model.generate(documents, DecodingConfig.model_validate({"n_best": 3, **decoding}))
    return [[(one.ids.tolist(), one.log_prob, one.score, one.text) for one in some] for some in found]


# What is asked for ----------------------------------------------------------------------------------------------------


def check_knows_its_vocabularies(subject: Subject) -> None:
    """`vocab_size` and `target_vocab_size` are the dataset's."""
    made = _fitted(subject)
    for name in ("vocab_size", "target_vocab_size"):
        value, expected = getattr(made.model, name), getattr(made.dataset, name)
        assert value == expected, f"{name} is {value!r}, the dataset's {expected!r}"


def check_answers_are_ids_without_an_end(subject: Subject) -> None:
    """Answers are int32 ids of the target's tokenizer, none of which is its `eos_id`."""
    made = _fitted(subject)
    eos_id, size = made.dataset.target_tokenizer.eos_id, made.dataset.target_vocab_size
    for one in (one for some in made.model.generate(made.documents, USUAL) for one in some):
        assert one.ids.dtype == np.int32, f"ids have type {one.ids.dtype}, not int32"
        assert ((one.ids >= 0) & (one.ids < size)).all(), f"an answer has the ids {one.ids}; there are {size}"
        assert eos_id not in one.ids, f"an answer has the end of a line in it: {one.ids}"
        assert np.isfinite([one.log_prob, one.score]).all(), f"an answer has the score {one.score}"


def check_gives_the_best_answers_first(subject: Subject) -> None:
    """One answer at least, `n_best` at most, in the order of their scores."""
    made = _fitted(subject)
    for count in (1, 3):
        for some in said(made.model, made.documents, n_best=count):
            scores = [score for _, _, score, _ in some]
            assert 1 <= len(some) <= count, f"of at most {count} answers there are {len(some)}"
            assert scores == sorted(scores, reverse=True), f"scores are {scores}: the best is not the first"


def check_batch_does_not_matter(subject: Subject) -> None:
    """What is said of a document does not depend on those beside it, nor on their order."""
    made = _fitted(subject)
    whole = said(made.model, made.documents)

    assert [said(made.model, [one])[0] for one in made.documents] == whole, "a document alone is answered otherwise"
    assert said(made.model, made.documents[::-1])[::-1] == whole, "the order of documents changes what is said of them"
    assert said(made.model, []) == [], "no documents have answers"


def check_threads_may_call_at_once(subject: Subject) -> None:
    """Several threads get what one would get."""
    made = _fitted(subject)
    whole = said(made.model, made.documents)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: said(made.model, made.documents), range(8)))

    assert all(one == whole for one in results), "threads that ask at once get other answers"


def check_any_document_is_answered(subject: Subject) -> None:
    """A document that is empty, or of words that nobody has seen, has an answer like every other."""
    made = _fitted(subject)
    tokenizer = made.dataset.tokenizer
    for text in (
        "",
        "zxqv",
        "zxqv \u4f60\u597d \U0001f600?\nzxqv \u4f60\u597d. \U0001f600",
        "\n\n",
        "?\n" + "a b. " * 500,
    ):
        document = Document(np.asarray(tokenizer.encode_batch(text.split("\n")), np.int32), text)
        (answers,) = said(made.model, [document])
        assert answers, f"the document {text[:20]!r} has no answer"


def check_answers_begin_and_end_as_asked(subject: Subject) -> None:
    """An answer begins with its prefix, and has no more ids than `max_length`."""
    made = _fitted(subject)
    document, prefix = made.documents[0], made.documents[1].ids[:1]
    ((begun, *_),) = made.model.generate([document], USUAL, prefixes=[prefix])
    assert begun.ids[:1].tolist() == prefix.tolist(), f"the answer {begun.ids} does not begin with {prefix}"
    for some in said(made.model, made.documents, max_length=2):
        assert all(len(ids) <= 2 for ids, *_ in some), f"with max_length = 2 an answer is {some}"


def check_save_then_load(subject: Subject) -> None:
    """What was saved is read back as it was, without a pickle."""
    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.model.save(folder)
        again = made.component.load(folder)

        sizes = [(one.vocab_size, one.target_vocab_size) for one in (again, made.model)]
        assert sizes[0] == sizes[1], f"what was loaded has {sizes[0]} ids of documents and targets, not {sizes[1]}"
        assert said(again, made.documents) == said(made.model, made.documents), "what was loaded answers otherwise"
        check_no_pickles(folder)


def check_a_damaged_file_is_an_error(subject: Subject) -> None:
    """A file that is missing is a DataError, as is one that was cut short, where that is noticed."""
    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.model.save(folder)
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            content = file.read_bytes()
            file.unlink()
            error = raised(lambda: made.component.load(folder))
            assert isinstance(error, DataError), f"without {file.name}: {error!r}"
            file.write_bytes(content[: len(content) // 2])
            error = raised(lambda: made.component.load(folder))
            assert error is None or isinstance(error, LmtoolError), f"with half of {file.name}: {error!r}"
            file.write_bytes(content)


def check_only_training_documents_count(subject: Subject) -> None:
    """Fitted again, without the dataset's other splits, it says the same."""
    from lmtool.data.subset import write_subset

    made = _fitted(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = np.arange(made.dataset.split("train").num_documents)
        alone = write_subset(made.dataset, folder / "alone", {"train": ("train", numbers)})
        (folder / "scratch").mkdir()
        model = made.component.fit(alone, progress=lambda phase, fraction: None, scratch=folder / "scratch")

        assert said(model, made.documents) == said(made.model, made.documents), "the other splits change the answers"


def check_targets_are_needed(subject: Subject) -> None:
    """A dataset without targets is a DataError."""
    from lmtool.testing.corpus import tiny_dataset

    with tempfile.TemporaryDirectory() as name:
        dataset = tiny_dataset(Path(name))
        (Path(name) / "scratch").mkdir()
        component, scratch = subject.load()(subject.config), Path(name) / "scratch"
        error = raised(lambda: component.fit(dataset, progress=lambda phase, fraction: None, scratch=scratch))
        assert isinstance(error, DataError), f"of a dataset without targets comes {error!r}"


CHECKS: list[Callable[[Subject], None]] = [
    check_knows_its_vocabularies,
    check_answers_are_ids_without_an_end,
    check_gives_the_best_answers_first,
    check_batch_does_not_matter,
    check_threads_may_call_at_once,
    check_any_document_is_answered,
    check_answers_begin_and_end_as_asked,
    check_save_then_load,
    check_a_damaged_file_is_an_error,
    check_only_training_documents_count,
    check_targets_are_needed,
]
