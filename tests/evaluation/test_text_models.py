"""A text model and documents with targets to figures; the model's answers and probabilities are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from fake_models import Letters, Repeating, Spelling, TextWithTargets

from lmtool.errors import ConfigError, DataError
from lmtool.evaluation import make_evaluators
from lmtool.evaluation.answers import AnswerText
from lmtool.evaluation.texts import AT_ONCE, answer_figures, evaluate_texts, text_predictions
from lmtool.registry import Registry
from lmtool.settings import DecodingConfig, EvaluationConfig

LETTERS = Letters("abc")
SPELLED = AnswerText(LETTERS, LETTERS)
TEXTS = ["abcab", "cab", "bbac", "a"]
REFERENCES = [("abcab", "cc"), ("cba",), ("bbac",), ("b", "a", "c")]


def evaluators(**settings):
    return make_evaluators(EvaluationConfig(**settings), Registry(third_party=False), takes="texts")


def evaluate(model=None, texts=TEXTS, references=REFERENCES, *, decoding=None, chosen=None, **keywords):
    split = TextWithTargets(texts, references)
    chosen = chosen or evaluators(evaluators=["bleu", "chrf"])
    return evaluate_texts(model or Spelling(), split, chosen, SPELLED, decoding or DecodingConfig(), **keywords)


def test_without_a_choice_texts_are_judged_by_bleu_and_chrf():
    assert [one.names for one in evaluators()] == [("bleu",), ("chrf",)]


def test_figures_are_those_of_the_answers_beside_all_references():
    found = evaluate()

    # the model answers with the document itself; sacrebleu takes None for a reference that is not there
    streams = [["abcab", "cba", "bbac", "b"], ["cc", None, None, "a"], [None, None, None, "c"]]
    assert found.metrics["bleu"].value == sacrebleu.corpus_bleu(TEXTS, streams).score
    assert found.metrics["chrf"].value == sacrebleu.corpus_chrf(TEXTS, streams).score
    assert found.metrics["chrf"].n == 4
    assert 0 < found.spreads["chrf"].low < found.metrics["chrf"].value < found.spreads["chrf"].high <= 100
    assert found.metrics["chrf"].stderr == found.spreads["chrf"].stderr > 0
    assert found.signatures["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a")


def test_the_model_is_asked_what_it_gives_to_the_first_reference():
    found = evaluate(Spelling(sure=0.5))

    # right tokens have 1/2, wrong ones 1/8; of "cba" for "cab" two are wrong, of "b" for "a" one
    nats = 3 * math.log(8) + 12 * math.log(2) + 2 * math.log(2)
    tokens = 6 + 4 + 5 + 2
    assert found.metrics["nats_per_token"].n == tokens
    assert found.metrics["nats_per_token"].value == pytest.approx(nats / tokens)
    assert found.metrics["token_perplexity"].value == pytest.approx(math.exp(nats / tokens))
    assert found.metrics["token_perplexity"].stderr > 0


def test_what_gives_no_probabilities_has_all_other_figures():
    found = evaluate(Repeating())

    # the texts themselves, as those of the model that decodes them from ids
    assert found.metrics == {name: evaluate().metrics[name] for name in ("bleu", "chrf")}
    assert found.target_tokens == 6 + 4 + 5 + 2


def test_the_number_of_references_is_a_part_of_the_signature():
    found = evaluate(references=[("abcab", "c"), ("cba", "c"), ("bbac", "c"), ("b", "c")])

    assert found.signatures["chrf"].startswith("nrefs:2|case:mixed")


def test_the_model_is_never_given_more_than_so_many_documents():
    model, texts = Spelling(), ["abc"] * (2 * AT_ONCE + 1)
    written = []

    found = evaluate(model, texts, [("abc",)] * len(texts), write=written.extend)

    assert model.asked == [AT_ONCE, AT_ONCE, 1]
    assert written == texts
    assert found.metrics["nats_per_token"].n == 4 * len(texts)


def test_samples_depend_on_the_number_of_the_document_and_the_seed():
    texts = ["abc"] * (AT_ONCE + 2)
    split = TextWithTargets(texts, [("abc",)] * len(texts))
    decoding = DecodingConfig(sample=True, n_best=3)

    pieces = list(text_predictions(Spelling(), split, SPELLED, decoding, seed=1))

    answers = [text for piece in pieces for text in piece.predictions.hypotheses]
    assert answers == ["abc"[(number + 1) % 3] for number in range(len(texts))]


def test_the_same_references_are_known_again():
    one, other, changed = evaluate(), evaluate(Spelling(shift=1)), evaluate(references=[*REFERENCES[:3], ("b", "ac")])

    assert one.references_digest == other.references_digest != changed.references_digest


def test_progress_ends_with_all_of_the_work():
    told = []

    evaluate(progress=told.append)

    assert told == [1.0]


def test_one_document_has_figures_without_errors():
    found = evaluate(texts=["abc"], references=[("abc",)])

    assert found.metrics["chrf"].value == 100
    assert found.metrics["chrf"].stderr is None
    assert found.spreads == {}


def test_an_impossible_target_makes_its_loss_infinite_and_nothing_else():
    class Certain(Spelling):
        def target_log_probs(self, documents, targets):
            return [np.full(len(target) + 1, -np.inf) for target in targets]

    found = evaluate(Certain())

    assert found.metrics["nats_per_token"].value == found.metrics["token_perplexity"].value == math.inf
    assert found.metrics["nats_per_token"].stderr is None
    assert found.metrics["chrf"].stderr > 0


def test_what_is_no_probability_is_an_error():
    class Damaged(Spelling):
        def target_log_probs(self, documents, targets):
            return [np.full(len(target) + 1, np.nan) for target in targets]

    with pytest.raises(DataError, match="log-probability nan: its parameters are damaged"):
        evaluate(Damaged())


def test_no_documents_are_an_error():
    with pytest.raises(DataError, match="no document to evaluate on"):
        evaluate(texts=[], references=[])


def test_two_evaluators_of_one_figure_are_an_error():
    with pytest.raises(ConfigError, match="two of them give 'bleu'"):
        evaluate(chosen=evaluators(evaluators=["bleu", {"name": "bleu", "lowercase": True}]))


def test_an_evaluator_of_something_else_is_an_error():
    with pytest.raises(ConfigError, match="'perplexity' takes tokens, a text-to-text model gives texts") as error:
        evaluators(evaluators=["perplexity"])

    assert error.value.hint == "leave evaluation.evaluators out for bleu, chrf"


def test_validation_asks_for_the_same_figures_and_nothing_of_probabilities():
    class NoProbabilities(Spelling):
        def target_log_probs(self, documents, targets):
            raise AssertionError("nobody asked")

    told = []
    split = TextWithTargets(TEXTS, REFERENCES)

    found = answer_figures(NoProbabilities(), split, evaluators(), SPELLED, DecodingConfig(), progress=told.append)

    whole = evaluate(chosen=evaluators()).metrics
    assert found == {name: whole[name].value for name in ("bleu", "chrf")}
    assert told == [1.0]
