"""Evaluators of texts: what sacrebleu, rouge-score and the scripts of SQuAD and CMRC say of the same texts."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.testing import conformance
from lmtool_evaluators.answers import Answers, cmrc, squad
from lmtool_evaluators.bleu import Bleu
from lmtool_evaluators.chrf import Chrf
from lmtool_evaluators.config import AnswersConfig, BleuConfig, ChrfConfig, DistinctConfig, RougeConfig
from lmtool_evaluators.distinct import Distinct
from lmtool_evaluators.rouge import Rouge

FEW = settings(max_examples=60, deadline=None)
GERMAN = (
    "ein",
    "Mann",
    "eine",
    "Frau",
    "läuft",
    "sitzt",
    "auf",
    "dem",
    "der",
    "Straße",
    ",",
    ".",
    "und",
    "Hut",
    "grünen",
)
WORDS = (
    "the",
    "a",
    "dog",
    "Dogs",
    "runs",
    "runs.",
    "(fast)",
    "über",
    "Straße,",
    "3.5",
    "我",
    "们是",
    "...",
    "'s",
    "x-y",
)
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
corpora = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=5)


@conformance("evaluator", "bleu")
def test_bleu_has_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance("evaluator", "bleu", config={"tokenize": "char", "smooth_method": "add-k", "lowercase": True})
def test_bleu_of_characters_has_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance("evaluator", "chrf", config={"word_order": 2})
def test_chrf_has_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance("evaluator", "rouge", config={"tokenize": "unicode", "precision_recall": True})
def test_rouge_has_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance(
    "evaluator",
    "rouge",
    config={"stemmer": True},
    expected_failures=dict.fromkeys(
        ("judges_from_zero_to_one", "nothing_is_better_than_perfect"), "as ROUGE-1.5.5, it sees words of a to z alone"
    ),
)
def test_rouge_of_english_words_has_every_other_property(check):
    check()


@conformance("evaluator", "answers")
def test_answers_have_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance("evaluator", "answers", config={"normalize": "cmrc"})
def test_chinese_answers_have_every_property_of_an_evaluator_of_texts(check):
    check()


@conformance("evaluator", "distinct")
def test_distinct_has_every_property_of_an_evaluator_of_texts_that_judges_alone(check):
    check()


@conformance("evaluator", "distinct", config={"order": 3, "tokenize": "chars"})
def test_distinct_of_characters_has_every_property_of_an_evaluator_of_texts_that_judges_alone(check):
    check()


def figures(evaluator, corpus):
    return evaluator.figures(np.sum([evaluator.statistics(*pair) for pair in corpus], axis=0))


def in_streams(corpus):
    """As sacrebleu takes texts: hypotheses, and for each reference number a list of them, None where there is none."""
    most = max(len(references) for _, references in corpus)
    streams = [[(*references, *[None] * most)[number] for _, references in corpus] for number in range(most)]
    return [hypothesis for hypothesis, _ in corpus], streams


def sentences(count, seed=0):
    """Made-up answers in German with two references each."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        reference = [rng.choice(GERMAN) for _ in range(rng.randrange(4, 25))]
        answer, other = ([w for w in reference if rng.random() < 0.8] for _ in range(2))
        made.append((" ".join(answer), [" ".join(reference), " ".join(other)]))
    return made


BLEU_SETTINGS = [
    {},
    {"tokenize": "zh"},
    {"tokenize": "intl", "lowercase": True},
    {"tokenize": "char"},
    {"tokenize": "none", "smooth_method": "floor"},
    {"smooth_method": "add-k", "smooth_value": 2.0},
    {"smooth_method": "none"},
]


@pytest.mark.parametrize("chosen", BLEU_SETTINGS, ids=str)
@given(corpus=corpora)
@settings(max_examples=25, deadline=None)
def test_bleu_is_that_of_sacrebleu_to_the_last_bit(chosen, corpus):
    evaluator = Bleu(BleuConfig(**chosen))

    (found,) = figures(evaluator, corpus).values()

    assert found == sacrebleu.corpus_bleu(*in_streams(corpus), force=True, **chosen).score


@pytest.mark.parametrize("chosen", [{}, {"word_order": 2}, {"char_order": 3, "beta": 1, "lowercase": True}], ids=str)
@given(corpus=corpora)
@settings(max_examples=25, deadline=None)
def test_chrf_is_that_of_sacrebleu_to_the_last_bit(chosen, corpus):
    evaluator = Chrf(ChrfConfig(**chosen))

    (found,) = figures(evaluator, corpus).values()

    assert found == sacrebleu.CHRF(**chosen).corpus_score(*in_streams(corpus)).score


def test_a_larger_text_has_sacrebleus_figures_and_signatures():
    corpus = sentences(300)
    hypotheses, streams = in_streams(corpus)

    for evaluator, metric in ((Bleu(BleuConfig()), sacrebleu.BLEU()), (Chrf(ChrfConfig()), sacrebleu.CHRF())):
        (found,) = figures(evaluator, corpus).values()
        assert found == metric.corpus_score(hypotheses, streams).score
        assert 10 < found < 95
        assert f"nrefs:2|{evaluator.signature}" == str(metric.get_signature())


def test_a_settings_value_that_has_no_use_is_an_error():
    with pytest.raises(ValueError, match="smooth_value has no use with smooth_method = 'exp'"):
        BleuConfig(smooth_value=0.5)


@given(hypothesis=texts, references=st.lists(texts, min_size=1, max_size=3))
@FEW
def test_a_single_text_is_judged_by_its_smoothed_sentence_score(hypothesis, references):
    bleu, chrf = Bleu(BleuConfig(smooth_method="none")), Chrf(ChrfConfig())

    # smoothed, whatever the figure of a whole text is
    expected = sacrebleu.sentence_bleu(hypothesis, references).score / 100
    assert bleu.judge(hypothesis, references) == pytest.approx(expected)
    assert chrf.judge(hypothesis, references) == pytest.approx(
        sacrebleu.sentence_chrf(hypothesis, references).score / 100
    )


def test_no_reference_is_an_empty_one():
    for evaluator in (Bleu(BleuConfig()), Chrf(ChrfConfig())):
        assert evaluator.statistics("a dog", ()).tolist() == evaluator.statistics("a dog", [""]).tolist()
        assert evaluator.judge("a dog", ()) == 0.0


def test_rouge_is_worked_out_by_hand():
    # common: the dog the (two of "the", one of "dog"); pairs: none but "the dog"; subsequence: the dog the
    hypothesis, reference = "The dog saw the cat", "the dog bit the big man"
    chosen = RougeConfig(precision_recall=True)

    found = Rouge(chosen).figures(Rouge(chosen).statistics(hypothesis, [reference]))

    assert found["rouge_1_precision"] == pytest.approx(100 * 3 / 5)
    assert found["rouge_1_recall"] == pytest.approx(100 * 3 / 6)
    assert found["rouge_1"] == found["rouge_l"] == pytest.approx(100 * 6 / 11)
    assert found["rouge_2"] == pytest.approx(100 * 2 * (1 / 4 * 1 / 5) / (1 / 4 + 1 / 5))


@pytest.mark.parametrize("stemmer", [False, True])
def test_rouge_is_the_mean_of_what_rouge_score_gives_by_the_best_reference(stemmer):
    from rouge_score.rouge_scorer import RougeScorer

    corpus = [("Dogs running, cats sleeping", ["a dog runs", "cats slept and dogs ran"]), ("two cats", ["cat", "dog"])]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmer)
    expected = [scorer.score_multi(references, hypothesis) for hypothesis, references in corpus]

    found = figures(Rouge(RougeConfig(stemmer=stemmer)), corpus)

    for name, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[name] == pytest.approx(100 * np.mean([one[theirs].fmeasure for one in expected]))
    assert list(found) == ["rouge_l", "rouge_1", "rouge_2"]


def test_rouge_of_words_of_any_script_sees_what_the_other_does_not():
    for text in ("一位女人在画画", "Мужчина играет"):
        assert Rouge(RougeConfig()).judge(text, [text]) == 0
        assert Rouge(RougeConfig(tokenize="unicode")).judge(text, [text]) == 1
    # one of two characters
    assert Rouge(RougeConfig(tokenize="unicode")).judge("女人", ["男人"]) == pytest.approx(1 / 2)
    with pytest.raises(ValueError, match="stemmer has no use with tokenize = 'unicode'"):
        RougeConfig(tokenize="unicode", stemmer=True)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "f1", "exact"),
    [
        ("Denver Broncos", "The Denver Broncos!", 1, 1),
        ("the Broncos", "Denver Broncos", 2 / 3, 0),  # one word of one, of two
        ("a an the", "The", 0, 1),  # nothing is left of either: the same, without a common word
        ("no, no", "no", 2 / 3, 0),  # a word counts as often as both have it
        ("U.S.", "us", 1, 1),
        ("theatre", "atre", 0, 0),  # articles are words of their own
    ],
)
def test_answers_are_compared_as_by_squads_script(hypothesis, reference, f1, exact):
    assert squad(hypothesis, reference) == (pytest.approx(f1), exact)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "f1", "exact"),
    [
        ("《战国无双3》", "战国无双3", 1, 1),
        ("光荣和ω-force", "光荣", 2 * 2 / (4 + 2), 0),  # 光 荣 和 ωforce
        ("开发的游戏", "游戏开发", 2 * 2 / (5 + 4), 0),  # the longest run, 开发 or 游戏, and not all common characters
        ("2003 年", "2003年", 1, 0),  # segments, and not the spaces between them
        ("中国", "日本", 0, 0),
    ],
)
def test_chinese_answers_are_compared_as_by_cmrcs_script(hypothesis, reference, f1, exact):
    assert cmrc(hypothesis, reference) == (pytest.approx(f1), exact)


def test_the_best_reference_counts_for_each_figure_of_answers():
    evaluator = Answers(AnswersConfig())

    found = figures(evaluator, [("Broncos", ["Denver Broncos", "Carolina"]), ("1966", ["in 1966", "1966"])])

    assert found == {"f1": pytest.approx(100 * (2 / 3 + 1) / 2), "exact_match": 50}
    assert evaluator.judge("Broncos", ["Carolina", "Denver Broncos"]) == pytest.approx(2 / 3)


def test_distinct_counts_each_n_gram_once():
    evaluator = Distinct(DistinctConfig())
    # "go on and go on": words go on and, 3 of 5; pairs "go on", "on and", "and go", 3 of 4
    assert evaluator.judge("go on and go on", ()) == 3 / 4
    # "yes": one word of one, no pair; a text without a pair has none that is distinct
    found = figures(evaluator, [("go on and go on", ()), ("yes", ())])

    assert found == {"distinct_2": 100 * (3 / 4 + 0) / 2, "distinct_1": 100 * (3 / 5 + 1) / 2}
    # characters 女 人 女 人: pairs 女人, 人女, 女人
    assert Distinct(DistinctConfig(tokenize="chars")).judge("女人 女人", ()) == 2 / 3
