"""Built-in evaluators. Light: what they import comes with their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_evaluators() -> Iterable[Component]:
    yield Component(
        name="perplexity",
        target="lmtool_evaluators.perplexity:Perplexity",
        config="lmtool_evaluators.config:PerplexityConfig",
        summary="perplexity per token and word, bits per byte, with and without unknown words; their standard errors",
    )
    yield Component(
        name="classification",
        target="lmtool_evaluators.classification:Classification",
        config="lmtool_evaluators.config:ClassificationConfig",
        summary="accuracy; precision, recall and F1: macro, micro, weighted and of each class; their standard errors",
    )
    yield Component(
        name="confusion",
        target="lmtool_evaluators.confusion:Confusion",
        config="lmtool_evaluators.config:ConfusionConfig",
        summary="the confusion matrix: how many documents of each class were taken for which",
    )
    yield Component(
        name="top-k",
        target="lmtool_evaluators.top_k:TopK",
        config="lmtool_evaluators.config:TopKConfig",
        summary="how often the true class is among the k likeliest",
    )
    yield Component(
        name="auc",
        target="lmtool_evaluators.auc:AreaUnderCurve",
        config="lmtool_evaluators.config:AreaUnderCurveConfig",
        summary="area under the ROC curve and average precision, each class against the rest; their standard errors",
    )
    yield Component(
        name="log-loss",
        target="lmtool_evaluators.log_loss:LogLoss",
        config="lmtool_evaluators.config:LogLossConfig",
        summary="mean negative log-likelihood of the true class, in nats",
    )
    yield Component(
        name="calibration",
        target="lmtool_evaluators.calibration:Calibration",
        config="lmtool_evaluators.config:CalibrationConfig",
        summary="whether probabilities mean what they say: expected calibration error, Brier score, reliability table",
    )
    yield Component(
        name="bleu",
        target="lmtool_evaluators.bleu:Bleu",
        config="lmtool_evaluators.config:BleuConfig",
        summary="BLEU of texts against references, by sacrebleu, with its signature",
    )
    yield Component(
        name="chrf",
        target="lmtool_evaluators.chrf:Chrf",
        config="lmtool_evaluators.config:ChrfConfig",
        summary="chrF, F-score of character n-grams of texts against references, by sacrebleu, with its signature",
    )
    yield Component(
        name="rouge",
        target="lmtool_evaluators.rouge:Rouge",
        config="lmtool_evaluators.config:RougeConfig",
        summary="ROUGE-1, ROUGE-2 and ROUGE-L of summaries against references, by rouge-score",
    )
    yield Component(
        name="answers",
        target="lmtool_evaluators.answers:Answers",
        config="lmtool_evaluators.config:AnswersConfig",
        summary="exact match and F1 of short answers, as the scripts of SQuAD v1.1 and CMRC 2018 have them",
    )
    yield Component(
        name="distinct",
        target="lmtool_evaluators.distinct:Distinct",
        config="lmtool_evaluators.config:DistinctConfig",
        summary="distinct-n, how little texts repeat themselves: the share of their n-grams that are distinct",
    )
