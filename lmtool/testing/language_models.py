"""What every language model must do, counted or neural: give a distribution, never look ahead, keep its state apart.

A counted model is fitted on the kit's small English text; a backbone is put under the `lm` task with parameters that
nobody has trained: what is asked for here holds for any parameters. Numbers that were computed in another order, or in
windows of another size, may differ in their last bits; `TOLERANCE` is far above that and far below any real fault.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.data.dataset import Dataset

TOLERANCE = 1e-4
"""Nats; of what is larger than one nat, a share."""
BATCH, TIME = 3, 24


@dataclass(frozen=True)
class Trained:
    """A small model of the kit's text, and some text for it to read."""

    model: LanguageModel
    load: Callable[[Path], LanguageModel]
    """Reads what `model.save` wrote."""
    ids: np.ndarray
    """int32 [B, T], stretches of text with a line's end amid."""
    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_id


def make(subject: Subject) -> Trained:
    """A model fitted or initialised anew."""
    from lmtool.testing.corpus import tiny_dataset

    folder = Path(tempfile.mkdtemp())
    dataset = tiny_dataset(folder / "data")
    fitted = "fitted" in subject.component.capabilities
    model, load = _fit(subject, dataset, folder / "scratch") if fitted else _initialise(subject, dataset)
    ids = dataset.split("test").read(0, BATCH * TIME).reshape(BATCH, TIME)
    ids[:, TIME // 2] = dataset.tokenizer.eos_id
    made = Trained(model, load, ids, dataset.tokenizer)
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)  # the model may go on using files in it
    return made


def _fit(subject: Subject, dataset: Dataset, scratch: Path) -> tuple[LanguageModel, Callable[[Path], LanguageModel]]:
    component = subject.load()(subject.config)
    scratch.mkdir()
    return component.fit(dataset, progress=lambda phase, fraction: None, scratch=scratch), component.load


def _initialise(subject: Subject, dataset: Dataset) -> tuple[LanguageModel, Callable[[Path], LanguageModel]]:
    import jax

    from lmtool.config import TrainingConfig
    from lmtool.registry import Registry

    found = Registry().find("task", "lm")
    task, settings = found.load(), found.config_class()()
    backbone = subject.load()(subject.config)
    made = task(settings, dataset=dataset, backbone=backbone, training=TrainingConfig.model_validate({}))
    # Three times as large as they start: a fresh network says nearly the same whatever it has read.
    params = jax.tree.map(lambda leaf: 3 * leaf, made.init(jax.random.key(0)))
    return made.predictor(params), partial(task.load, config=settings, backbone=backbone)


_MADE: dict[tuple[str, str], Trained] = {}


def _trained(subject: Subject) -> Trained:
    """The model under test; made once for each setting, as no check may change it."""
    key = subject.component.target, subject.config.model_dump_json()
    if key not in _MADE:
        _MADE[key] = make(subject)
    return _MADE[key]


# What is asked for ----------------------------------------------------------------------------------------------------


def check_shapes(subject: Subject) -> None:
    """`score` gives [B, T] and `next_log_probs` [B, V], for any B and T, T = 0 included, V that of the tokenizer."""
    made = _trained(subject)
    model = made.model

    assert model.vocab_size == made.vocab_size, f"vocab_size is {model.vocab_size}, the tokenizer's {made.vocab_size}"
    for batch, time in ((1, 1), (BATCH, 5), (2, 0)):
        ids = made.ids[:batch, :time]
        log_probs, state = model.score(ids, model.initial_state(batch))
        assert np.shape(log_probs) == ids.shape, f"scores of ids {ids.shape} have shape {np.shape(log_probs)}"
        shape = np.shape(model.next_log_probs(state))
        assert shape == (batch, model.vocab_size), f"next_log_probs of {batch} streams has shape {shape}, not [B, V]"


def check_probabilities_sum_to_one(subject: Subject) -> None:
    """The next token's probabilities over the whole vocabulary sum to one, whatever was read before."""
    made = _trained(subject)

    for time in (0, 1, TIME // 2, TIME // 2 + 1, TIME):
        total = np.exp(_next(made, _read(made, made.ids[:, :time]))).sum(axis=1)
        worst = total[np.abs(total - 1).argmax()]
        assert np.abs(worst - 1) <= TOLERANCE, f"after {time} tokens the probabilities sum to {worst:.8g}"


def check_scores_are_the_next_log_probs(subject: Subject) -> None:
    """`score` gives each token what `next_log_probs` said of it just before, read one by one or all at once."""
    made = _trained(subject)
    state = made.model.initial_state(BATCH)
    said, singly = np.empty(made.ids.shape), np.empty(made.ids.shape)

    for t in range(TIME):
        said[:, t] = np.take_along_axis(_next(made, state), made.ids[:, t : t + 1], axis=1)[:, 0]
        step, state = made.model.score(made.ids[:, t : t + 1], state)
        singly[:, t] = step[:, 0]

    _equal(singly, said, "the score of a single token differs from next_log_probs before it")
    _equal(_score(made, made.ids), said, "scores of a text at once differ from next_log_probs along the way")


def check_causality(subject: Subject) -> None:
    """Tokens that come later change no score."""
    made = _trained(subject)
    whole = _score(made, made.ids)

    for t in (1, TIME // 2, TIME - 1):
        other = made.ids.copy()
        other[:, t:] = (other[:, t:] + 1) % made.vocab_size
        _equal(_score(made, other)[:, :t], whole[:, :t], f"scores before position {t} changed with what follows")
        _equal(_score(made, made.ids[:, :t]), whole[:, :t], f"scores before position {t} changed when nothing follows")


def check_pieces_equal_the_whole(subject: Subject) -> None:
    """A text read in pieces, the state handed on, is scored as if read at once."""
    made = _trained(subject)
    whole = _score(made, made.ids)
    after = _next(made, _read(made, made.ids))

    for cuts in ([1], [TIME // 2, TIME // 2 + 1], [2, 2, 7, TIME - 1]):
        state, pieces = made.model.initial_state(BATCH), []
        for piece in np.split(made.ids, cuts, axis=1):
            log_probs, state = made.model.score(piece, state)
            pieces.append(log_probs)
        _equal(np.concatenate(pieces, axis=1), whole, f"scores of a text cut at {cuts} differ from those of the whole")
        _equal(
            _next(made, state), after, f"next_log_probs after a text cut at {cuts} differ from those after the whole"
        )


def check_rows_are_apart(subject: Subject) -> None:
    """A stream is scored alike alone, among others, and in any row."""
    made = _trained(subject)
    whole = _score(made, made.ids)

    _equal(_score(made, made.ids[::-1])[::-1], whole, "scores changed with the order of the rows")
    for row in range(BATCH):
        alone = slice(row, row + 1)
        _equal(_score(made, made.ids[alone]), whole[alone], f"row {row} is scored otherwise when it is alone")


def check_state_is_left_alone(subject: Subject) -> None:
    """A state can be used again and again: neither `score` nor `next_log_probs` changes it."""
    made = _trained(subject)
    half = TIME // 2 - 1
    state = _read(made, made.ids[:, :half])

    before = _next(made, state)
    first, after = made.model.score(made.ids[:, half:], state)
    _ = made.model.score(made.ids[:, :3], after)
    second, _ = made.model.score(made.ids[:, half:], state)

    _equal(second, first, "the same text after the same state was scored otherwise the second time")
    _equal(_next(made, state), before, "next_log_probs of a state changed after the state was used")


def check_stateful_is_true(subject: Subject) -> None:
    """`stateful` says whether earlier lines matter; if not, each line starts as the first one does.

    A component whose models are stateful, or may be (a mixture's parts decide), has it among its capabilities.
    """
    made = _trained(subject)
    eos_id = made.eos_id
    texts = np.stack([made.ids[0, :6], made.ids[1, :6], np.full(6, eos_id)])
    texts[:, -1] = eos_id
    after = _next(made, _read(made, texts))
    fresh = _next(made, made.model.initial_state(len(texts)))

    if made.model.stateful:
        assert np.ptp(after, axis=0).max() > 0, "stateful is True, but earlier lines change nothing"
    else:
        _equal(after, fresh, "stateful is False, but what came in earlier lines changes predictions")
    said = "stateful" in subject.component.capabilities
    assert said or not made.model.stateful, "the model is stateful, which the component's capabilities do not say"


def check_lines_in_one_stream(subject: Subject) -> None:
    """A model that is not stateful scores many lines in one stream as it scores each alone."""
    made = _trained(subject)
    if made.model.stateful:
        raise Skipped("it is stateful: a line is scored after those before it")
    ends = np.flatnonzero(made.ids.ravel() == made.eos_id) + 1
    lines = np.split(made.ids.ravel(), ends)

    together = np.split(_score(made, made.ids.reshape(1, -1)), ends, axis=1)

    for line, scores in zip(lines, together, strict=True):
        _equal(scores, _score(made, line[None]), "a line is scored otherwise after others")


def check_threads(subject: Subject) -> None:
    """Threads may score and ask for the next token at once."""
    made = _trained(subject)
    whole, after = _score(made, made.ids), _next(made, _read(made, made.ids))

    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(lambda _: _score(made, made.ids), range(16)))
        nexts = list(threads.map(lambda _: _next(made, _read(made, made.ids)), range(16)))

    for one, other in zip(scores, nexts, strict=True):
        _equal(one, whole, "scores are others while other threads score, too")
        _equal(other, after, "next_log_probs are others while other threads ask, too")


def check_save_and_load(subject: Subject) -> None:
    """A model that was saved and loaded scores as before; no file of it is a pickle."""
    made = _trained(subject)

    with tempfile.TemporaryDirectory() as folder:
        made.model.save(Path(folder))
        for file in filter(Path.is_file, Path(folder).rglob("*")):
            assert not _is_pickle(file), f"{file.name} is or holds a pickle: loading it could run anything"
        loaded = made.load(Path(folder))
        scores, state = loaded.score(made.ids, loaded.initial_state(BATCH))
        expected = np.asarray(loaded.next_log_probs(state))

    assert loaded.vocab_size == made.model.vocab_size, "vocab_size is another after loading"
    assert loaded.stateful == made.model.stateful, "stateful is another after loading"
    _equal(scores, _score(made, made.ids), "scores are others after loading")
    _equal(expected, _next(made, _read(made, made.ids)), "next_log_probs are others after loading")


def check_same_text_same_model(subject: Subject) -> None:
    """Made twice from the same settings and the same text, it gives the same scores."""
    made, again = _trained(subject), make(subject)

    _equal(_score(again, made.ids), _score(made, made.ids), "a second model of the same text gives other scores")


def check_exports(subject: Subject) -> None:
    """What the model says it can be exported to, it can: twice the same bytes, in each of `export_formats`."""
    made = _trained(subject)

    formats = getattr(made.model, "export_formats", ())
    if not formats:
        raise Skipped("it is exported to nothing")
    for name in formats:
        files = io.BytesIO(), io.BytesIO()
        for file in files:
            made.model.export(name, file, made.tokenizer)  # type: ignore[attr-defined]
        assert files[0].getvalue(), f"nothing was written when it was exported to '{name}'"
        assert files[0].getvalue() == files[1].getvalue(), f"exported to '{name}' twice, it gave different bytes"


CHECKS = (
    check_shapes,
    check_probabilities_sum_to_one,
    check_scores_are_the_next_log_probs,
    check_causality,
    check_pieces_equal_the_whole,
    check_rows_are_apart,
    check_state_is_left_alone,
    check_stateful_is_true,
    check_lines_in_one_stream,
    check_threads,
    check_save_and_load,
    check_same_text_same_model,
    check_exports,
)


def _score(made: Trained, ids: np.ndarray) -> np.ndarray:
    """[B, T], from a fresh state."""
    return np.asarray(made.model.score(ids, made.model.initial_state(len(ids)))[0])


def _read(made: Trained, ids: np.ndarray) -> Any:
    """The state after a text."""
    return made.model.score(ids, made.model.initial_state(len(ids)))[1]


def _next(made: Trained, state: Any) -> np.ndarray:
    """[B, V], a copy."""
    return np.array(made.model.next_log_probs(state), np.float64)


def _equal(got: np.ndarray, expected: np.ndarray, message: str) -> None:
    # Equal infinities are equal: a model may rule something out.
    apart = np.nan_to_num(np.where(got == expected, 0.0, np.abs(got - expected)), nan=np.inf)
    # What has next to no probability is thousands of nats away, where float32 tells apart no thousandths.
    allowed = TOLERANCE * np.maximum(1.0, np.abs(np.where(np.isfinite(expected), expected, 1.0)))
    assert (apart <= allowed).all(), f"{message} (by up to {apart.max(initial=0.0):.3g} nats)"


def _is_pickle(file: Path) -> bool:
    if file.suffix in (".npy", ".npz"):
        try:
            loaded = np.load(file, allow_pickle=False)
            _ = [loaded[name] for name in getattr(loaded, "files", ())]
        except ValueError:
            return True
    with file.open("rb") as stream:
        return stream.read(2) in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}
