"""What every evaluator must do: numbers of a text do not depend on how the text came.

One that takes classes is asked about documents with one class, of two and of more, and about documents with any number
of labels; see `class_predictions`. For one that takes texts see `text_evaluators`.

Sums of floats change in their last bits with the order of the terms, so figures are compared to a relative 1e-9; a
difference that large is a fault.
"""

from __future__ import annotations

import copy
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import ClassPredictions, Metric, TokenPredictions
from lmtool.testing import class_predictions
from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Predictions = TokenPredictions | ClassPredictions

RELATIVE_TOLERANCE = 1e-9


def sample_text(lines: int = 24, *, unit: str = "word", unknown: float = 0.1, seed: int = 0) -> list[TokenPredictions]:
    """Made-up predictions, one piece a line, of 1 to 12 tokens, some of them unknown."""
    rng = np.random.default_rng(seed)
    return [_line(rng, unit, unknown) for _ in range(lines)]


def _line(rng: np.random.Generator, unit: str, unknown: float) -> TokenPredictions:
    num_tokens = int(rng.integers(1, 13))
    is_unknown = rng.random(num_tokens) < unknown
    is_unknown[-1] = False  # the end of the line is always known
    num_words = num_tokens - 1 if unit == "word" else int(rng.integers(0, num_tokens))
    return TokenPredictions(
        log_probs=-rng.gamma(2.0, 2.0, num_tokens),
        is_unknown=is_unknown,
        line=np.zeros(num_tokens, np.int64),
        num_words=num_words,
        num_bytes=num_tokens * 5,
        num_lines=1,
        num_unknown_bytes=4 * int(is_unknown.sum()),
        token_unit=unit,
    )


def samples(subject: Subject) -> list[list[Predictions]]:
    """The texts that the evaluator is asked about, each in its smallest pieces: lines, documents."""
    if _takes(subject) == "classes":
        return [list(documents) for documents in class_predictions.samples()]
    return [list(sample_text())]


def _takes(subject: Subject) -> str:
    return str(subject.load()(subject.config).takes)


def join(pieces: Sequence[Predictions]) -> Predictions:
    """Several pieces as one."""
    if isinstance(pieces[0], ClassPredictions):
        return class_predictions.join([piece for piece in pieces if isinstance(piece, ClassPredictions)])
    return join_lines([piece for piece in pieces if isinstance(piece, TokenPredictions)])


def join_lines(pieces: list[TokenPredictions]) -> TokenPredictions:
    """Several pieces as one; their lines are numbered on."""
    firsts = np.cumsum([0, *(piece.num_lines for piece in pieces[:-1])])
    return TokenPredictions(
        log_probs=np.concatenate([piece.log_probs for piece in pieces]),
        is_unknown=np.concatenate([piece.is_unknown for piece in pieces]),
        line=np.concatenate([piece.line + first for piece, first in zip(pieces, firsts, strict=True)]),
        num_words=sum(piece.num_words for piece in pieces),
        num_bytes=sum(piece.num_bytes for piece in pieces),
        num_lines=sum(piece.num_lines for piece in pieces),
        num_unknown_bytes=sum(piece.num_unknown_bytes for piece in pieces),
        token_unit=pieces[0].token_unit,
    )


def answer(subject: Subject, pieces: Iterable[Predictions]) -> tuple[dict[str, Metric], Any]:
    """The metrics of a stream of pieces, and its details; None if the evaluator has none."""
    evaluator = subject.load()(subject.config)
    state = evaluator.init()
    for piece in pieces:
        state = evaluator.update(state, piece)
    return evaluator.compute(state), evaluator.details(state) if hasattr(evaluator, "details") else None


def compute(subject: Subject, pieces: Iterable[Predictions]) -> dict[str, Metric]:
    """The metrics of a stream of pieces."""
    return answer(subject, pieces)[0]


def check_takes_something_known(subject: Subject) -> None:
    """`takes` names the predictions that the evaluator asks for."""
    takes = _takes(subject)
    assert takes in ("tokens", "classes"), f"`takes` is {takes!r}; known: 'tokens', 'classes', 'texts'"


def check_gives_metrics(subject: Subject) -> None:
    """`compute` gives `Metric`s by snake_case names; values are never NaN, errors never negative, n at least 1.

    One that has details needs no metrics; details are what JSON can hold.
    """
    metrics, details = answer(subject, samples(subject)[0])
    json.dumps(details, allow_nan=False)
    assert metrics or details, "nothing came of a text of 24 lines or documents"
    for name, metric in metrics.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"the name {name!r} must be snake_case"
        assert isinstance(metric, Metric), f"{name} must be a lmtool.api.Metric, got {type(metric).__name__}"
        assert not math.isnan(metric.value), f"{name} is not a number"
        assert isinstance(metric.n, int), f"{name}: n must be an int, got {metric.n!r}"
        assert metric.n >= 1, f"{name}: n must be at least 1, got {metric.n}"
        assert metric.stderr is None or metric.stderr >= 0, f"{name}: stderr is {metric.stderr}"


def check_order_does_not_matter(subject: Subject) -> None:
    """The same pieces in another order give the same figures."""
    for pieces in samples(subject):
        shuffled = [pieces[i] for i in np.random.default_rng(1).permutation(len(pieces))]
        _assert_same(answer(subject, pieces), answer(subject, shuffled), "in another order")


def check_size_of_pieces_does_not_matter(subject: Subject) -> None:
    """One by one, five lines or documents at a time or all at once: the figures are the same."""
    for pieces in samples(subject):
        expected = answer(subject, [join(pieces)])
        for size in (1, 5):
            cut = [join(pieces[i : i + size]) for i in range(0, len(pieces), size)]
            _assert_same(expected, answer(subject, cut), f"in pieces of {size}")


def check_counts_may_come_apart(subject: Subject) -> None:
    """Words and bytes of the whole text may come in a piece without tokens, as they do from a dataset."""
    if _takes(subject) != "tokens":
        raise Skipped("it does not take tokens")
    text = join_lines(sample_text())
    fields = {name: getattr(text, name) for name in TokenPredictions.__slots__}
    nothing = {name: fields[name][:0] for name in ("log_probs", "is_unknown", "line")}
    tokens = TokenPredictions(**{**fields, "num_words": 0, "num_bytes": 0, "num_unknown_bytes": 0})
    counts = TokenPredictions(**{**fields, **nothing, "num_lines": 0})
    _assert_same(answer(subject, [text]), answer(subject, [tokens, counts]), "with the text's counts apart")


def check_state_is_a_value(subject: Subject) -> None:
    """`update` hands back a new state and leaves the one it was given alone; the evaluator itself remembers nothing."""
    evaluator = subject.load()(subject.config)
    for first, second, *_ in samples(subject):
        state = evaluator.update(evaluator.init(), first)
        before = copy.deepcopy(evaluator.compute(state))
        evaluator.update(state, second)
        _assert_same((before, None), (evaluator.compute(state), None), "after the state was used for another update")


def check_nothing_gives_nothing_wrong(subject: Subject) -> None:
    """No text at all gives no error, no NaN and no claim about a mean over nothing."""
    no_text = TokenPredictions(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64), 0, 0, 0)
    nothing = class_predictions.empty() if _takes(subject) == "classes" else [no_text]
    for pieces in ([], *([piece] for piece in nothing)):
        metrics, details = answer(subject, pieces)
        json.dumps(details, allow_nan=False)
        for name, metric in metrics.items():
            assert not math.isnan(metric.value), f"{name} of no text is not a number"
            assert metric.n == 0, f"{name} of no text says n = {metric.n}"


def check_probability_zero_is_no_error(subject: Subject) -> None:
    """A token that the model thought impossible makes figures infinite, not NaN, and raises nothing."""
    for pieces in samples(subject):
        pieces[3].log_probs[0] = -np.inf
        for name, metric in compute(subject, pieces).items():
            assert not math.isnan(metric.value), f"{name} is not a number"
            assert metric.stderr is None or not math.isnan(metric.stderr), f"{name}: stderr is not a number"


def check_follows_the_definition(subject: Subject) -> None:
    """A metric with a name that lmtool defines is what the definition says, and so is its n."""
    texts: list[Sequence[Predictions]] = [sample_text(unit=unit) for unit in ("word", "subword")]
    for pieces in samples(subject) if _takes(subject) == "classes" else texts:
        metrics, whole = compute(subject, pieces), join(pieces)
        of_text = definitions if isinstance(whole, TokenPredictions) else class_predictions.definitions
        for name, (value, n) in of_text(whole).items():  # type: ignore[arg-type]
            if name not in metrics:
                continue
            got = metrics[name]
            assert math.isclose(got.value, value, rel_tol=RELATIVE_TOLERANCE), f"{name} is {got.value}, must be {value}"
            assert got.n == n, f"{name}: n is {got.n}, must be {n}"


def definitions(text: TokenPredictions) -> dict[str, tuple[float, int]]:
    """The defined metrics, said as plainly as can be: name to value and n."""
    nats, known_nats, tokens, unknown = 0.0, 0.0, 0, 0
    for log_prob, is_unknown in zip(text.log_probs.tolist(), text.is_unknown.tolist(), strict=True):
        nats -= log_prob
        known_nats -= 0.0 if is_unknown else log_prob
        tokens += 1
        unknown += is_unknown
    words, ends, size = text.num_words, text.num_lines, text.num_bytes
    defined = {
        "token_perplexity": (math.exp(nats / tokens), tokens),
        "word_perplexity": (math.exp(nats / (words + ends)), words + ends),
        "bits_per_byte": (nats / (math.log(2) * size), size),
        "token_perplexity_without_oov": (math.exp(known_nats / (tokens - unknown)), tokens - unknown),
        "oov_rate": (unknown / (tokens - ends), tokens - ends),
        "nats": (nats, tokens),
    }
    spelled = size - text.num_unknown_bytes
    defined["bits_per_byte_without_oov"] = (known_nats / (math.log(2) * spelled), spelled)
    if text.token_unit == "word":
        left = words + ends - unknown
        defined["word_perplexity_without_oov"] = (math.exp(known_nats / left), left)
    return defined


def _assert_same(before: tuple[dict[str, Metric], Any], after: tuple[dict[str, Metric], Any], how: str) -> None:
    (expected, details), (got, other_details) = before, after
    assert _is_alike(details, other_details), f"the details are others {how}"
    assert got.keys() == expected.keys(), f"{how}, there are other metrics: {sorted(got.keys() ^ expected.keys())}"
    for name, metric in expected.items():
        for part in ("value", "stderr", "n", "lower_bound"):
            a, b = getattr(metric, part), getattr(got[name], part)
            assert _is_close(a, b), f"{name}: {part} is {a}, but {b} {how}"


def _is_close(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12)


def _is_alike(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_is_alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_is_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return _is_close(a, b)
    return bool(a == b)


CHECKS = (
    check_takes_something_known,
    check_gives_metrics,
    check_order_does_not_matter,
    check_size_of_pieces_does_not_matter,
    check_counts_may_come_apart,
    check_state_is_a_value,
    check_nothing_gives_nothing_wrong,
    check_probability_zero_is_no_error,
    check_follows_the_definition,
)
