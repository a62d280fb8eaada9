"""What every evaluator of texts must do: statistics of single texts add up to the figures of any number of them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import TextEvaluator

    Pair = tuple[str, tuple[str, ...]]
    """An answer and its references."""

RELATIVE_TOLERANCE = 1e-9

REFERENCES = (
    "A dog runs across the green field .",
    "Two men are talking on a bench in the park, aren't they?",
    "Ein Mann schläft in einem grünen Raum auf einem Sofa.",
    "一位穿着红色外套的女人正在河边画画。",
    "Мужчина играет на гитаре перед домом.",
    "the price of 3,500 shares fell to $ 12.75 on Tuesday",
)
"""Texts in several scripts, each long enough for n-grams of four words or characters."""

STRANGE = ("", " ", "\t", ".", "–", "  two   spaces ", "<unk>", "a\u0301\u200d🎉\u2028x", "\x00", "|||", "word " * 1500)
"""What a model may say, and what a dataset may hold."""


def evaluator_of(subject: Subject) -> TextEvaluator:
    """The evaluator under test."""
    made: TextEvaluator = subject.load()(subject.config)
    return made


def samples(seed: int = 0) -> list[Pair]:
    """Answers of all qualities, with one to three references each, and what is strange on either side."""
    rng = np.random.default_rng(seed)
    pairs: list[Pair] = []
    for number in range(24):
        references = tuple(rng.permutation(REFERENCES)[: number % 3 + 1].tolist())
        pairs.append((_worse(references[0], rng, number % 4 / 4), references))
    pairs += [(text, (REFERENCES[0],)) for text in STRANGE]
    pairs += [(REFERENCES[1], (text,)) for text in STRANGE[:-1]]
    return [*pairs, ("", ("", "")), (REFERENCES[2], ("", REFERENCES[2]))]


def _worse(text: str, rng: np.random.Generator, share: float) -> str:
    """The text without some of its words or, where it has no spaces, characters."""
    parts = text.split(" ") if " " in text else list(text)
    return (" " if " " in text else "").join(part for part in parts if rng.random() >= share)


def judges_alone(evaluator: TextEvaluator) -> bool:
    """Whether it says of itself that references change nothing."""
    return bool(getattr(evaluator, "judges_alone", False))


def statistics(evaluator: TextEvaluator, pairs: Sequence[Pair]) -> np.ndarray:
    """Of each text, float64 [D, M]."""
    return np.stack([evaluator.statistics(hypothesis, references) for hypothesis, references in pairs])


def check_says_what_it_takes(subject: Subject) -> None:
    """`takes` is "texts"; `names` are snake_case, each once; `signature` is a line."""
    evaluator = evaluator_of(subject)
    assert evaluator.takes == "texts"
    assert evaluator.names, "at least one figure must have a name"
    assert len(set(evaluator.names)) == len(evaluator.names), f"a name stands twice: {evaluator.names}"
    for name in evaluator.names:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"the name {name!r} must be snake_case"
    assert isinstance(evaluator.signature, str), "the signature must be a string"
    assert "\n" not in evaluator.signature, "the signature must be one line"


def check_statistics_have_one_shape(subject: Subject) -> None:
    """Whatever the texts are, float64 [M], finite, the same M; nothing is raised."""
    evaluator = evaluator_of(subject)
    shape = evaluator.statistics(REFERENCES[0], [REFERENCES[0]]).shape
    assert len(shape) == 1, f"statistics of a text must be one vector, got shape {shape}"
    for hypothesis, references in samples():
        found = evaluator.statistics(hypothesis, references)
        assert found.dtype == np.float64, f"statistics must be float64, got {found.dtype}"
        assert found.shape == shape, f"{hypothesis!r:.60} has {found.shape} statistics, others {shape}"
        assert np.isfinite(found).all(), f"statistics of {hypothesis!r:.60} are not finite"


def check_figures_have_their_names(subject: Subject) -> None:
    """`figures` gives a float, no NaN, for each of `names`, of all texts and of a single one, in that order."""
    evaluator = evaluator_of(subject)
    found = statistics(evaluator, samples())
    for totals in (found.sum(axis=0), *found):
        figures = evaluator.figures(totals)
        assert tuple(figures) == evaluator.names, f"the figures are {tuple(figures)}, the names {evaluator.names}"
        for name, value in figures.items():
            assert isinstance(value, float), f"{name} must be a float, got {value!r}"
            assert math.isfinite(value), f"{name} is {value}"


def check_order_and_parts_do_not_matter(subject: Subject) -> None:
    """Sums over the same texts in another order, or over parts of them that are added up, give the same figures."""
    evaluator = evaluator_of(subject)
    pairs = samples()
    found = statistics(evaluator, pairs)
    expected = evaluator.figures(found.sum(axis=0))
    shuffled = [pairs[i] for i in np.random.default_rng(1).permutation(len(pairs))]
    _assert_same(expected, evaluator.figures(statistics(evaluator, shuffled).sum(axis=0)), "in another order")
    for size in (1, 5):
        parts = [found[start : start + size].sum(axis=0) for start in range(0, len(found), size)]
        _assert_same(expected, evaluator.figures(np.sum(parts, axis=0)), f"in parts of {size}")


def check_a_text_counts_as_often_as_it_is_there(subject: Subject) -> None:
    """All texts twice give the figures of all texts once: figures are of a corpus, not sums over it."""
    evaluator = evaluator_of(subject)
    pairs = [(_worse(text, np.random.default_rng(7), 0.2), (text,)) for text in REFERENCES]
    totals = statistics(evaluator, pairs).sum(axis=0)
    _assert_same(evaluator.figures(totals), evaluator.figures(2 * totals), "of all texts twice", tolerance=0.02)


def check_arguments_stay_as_they_are(subject: Subject) -> None:
    """`figures` leaves the sums alone, and the evaluator remembers nothing."""
    evaluator = evaluator_of(subject)
    totals = statistics(evaluator, samples()).sum(axis=0)
    before, expected = totals.copy(), evaluator.figures(totals)
    evaluator.judge("another text", ["some text"])
    assert np.array_equal(totals, before), "`figures` changed the sums that it was given"
    _assert_same(expected, evaluator.figures(totals), "when it is asked again", tolerance=0.0)


def check_nothing_is_better_than_perfect(subject: Subject) -> None:
    """The first figure of answers that equal a reference is the highest there is, and none is lower than of answers
    that have nothing right, unless references change nothing; no figure is below zero."""
    evaluator = evaluator_of(subject)
    name = evaluator.names[0]
    if judges_alone(evaluator):
        _assert_not_below_zero(evaluator)
        return
    perfect = evaluator.figures(statistics(evaluator, [(text, (text,)) for text in REFERENCES]).sum(axis=0))
    best = perfect[name]
    for pairs in (samples(), *([pair] for pair in samples())):
        for key, value in evaluator.figures(statistics(evaluator, pairs).sum(axis=0)).items():
            assert value >= 0, f"{key} is {value}, below zero"
            assert key != name or value <= best * (1 + RELATIVE_TOLERANCE), f"{name} is {value}, of perfect ones {best}"
    worst = evaluator.figures(statistics(evaluator, [("§ ¶", (text,)) for text in REFERENCES]).sum(axis=0))
    for key, value in worst.items():
        what = f"{key} is {value} of answers that have nothing right, and {perfect[key]} of perfect ones"
        assert value <= perfect[key] if key != name else value < best, what


def _assert_not_below_zero(evaluator: TextEvaluator) -> None:
    for pair in samples():
        for key, value in evaluator.figures(statistics(evaluator, [pair])[0]).items():
            assert value >= 0, f"{key} is {value}, below zero"


def check_the_best_reference_counts(subject: Subject) -> None:
    """An answer that equals one of its references is as good as one that equals its only one, wherever it stands."""
    evaluator = evaluator_of(subject)
    for number, text in enumerate(REFERENCES):
        other = REFERENCES[number - 1]
        alone = evaluator.judge(text, [text])
        for references in ([text, other], [other, text], [other, other, text]):
            found = evaluator.judge(text, references)
            assert math.isclose(found, alone, rel_tol=RELATIVE_TOLERANCE), f"{text!r} beside {references} is {found}"


def check_judges_from_zero_to_one(subject: Subject) -> None:
    """`judge` gives a float from 0 to 1: 1 for a text that equals its reference and less for one with nothing right,
    unless references change nothing."""
    evaluator = evaluator_of(subject)
    for hypothesis, references in samples():
        found: Any = evaluator.judge(hypothesis, references)
        assert isinstance(found, float), f"`judge` must give a float, got {found!r}"
        assert 0 <= found <= 1, f"{hypothesis!r:.60} is judged {found}"
    if judges_alone(evaluator):
        return
    for text in REFERENCES:
        perfect = evaluator.judge(text, [text])
        assert math.isclose(perfect, 1.0, rel_tol=RELATIVE_TOLERANCE), f"{text!r} beside itself is judged {perfect}"
        assert evaluator.judge("§ ¶", [text]) < 0.5, f"'§ ¶' beside {text!r} is judged no worse than half right"


def check_without_references_says_the_same_if_it_judges_alone(subject: Subject) -> None:
    """With `judges_alone`, a bool, texts are judged from 0 to 1 without any reference; references change nothing."""
    evaluator = evaluator_of(subject)
    alone: Any = getattr(evaluator, "judges_alone", False)
    assert isinstance(alone, bool), f"`judges_alone` must be True or False, got {alone!r}"
    if not alone:
        raise Skipped("it needs references")
    for hypothesis, references in samples():
        found: Any = evaluator.judge(hypothesis, ())
        assert isinstance(found, float), f"`judge` must give a float, got {found!r}"
        assert 0 <= found <= 1, f"{hypothesis!r:.60} is judged {found} without references"
        beside = evaluator.judge(hypothesis, references)
        assert beside == found, f"{hypothesis!r:.60} is judged {found} alone, {beside} beside {references!r:.60}"
        same = np.array_equal(evaluator.statistics(hypothesis, ()), evaluator.statistics(hypothesis, references))
        assert same, f"statistics of {hypothesis!r:.60} are others without references"


def _assert_same(
    expected: dict[str, float], got: dict[str, float], how: str, tolerance: float = RELATIVE_TOLERANCE
) -> None:
    for name, value in expected.items():
        assert math.isclose(value, got[name], rel_tol=tolerance, abs_tol=1e-12), f"{name} is {value}, {got[name]} {how}"


CHECKS = (
    check_says_what_it_takes,
    check_statistics_have_one_shape,
    check_figures_have_their_names,
    check_order_and_parts_do_not_matter,
    check_a_text_counts_as_often_as_it_is_there,
    check_arguments_stay_as_they_are,
    check_nothing_is_better_than_perfect,
    check_the_best_reference_counts,
    check_judges_from_zero_to_one,
    check_without_references_says_the_same_if_it_judges_alone,
)
