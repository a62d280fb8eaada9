"""What can be learned. The tasks enter as a plugin's do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_tasks() -> Iterable[Component]:
    yield Component(
        name="lm",
        target="lmtool.tasks.lm:LanguageModelling",
        config="lmtool.tasks.config:LMConfig",
        summary="the next token, from all tokens before it",
    )
    yield Component(
        name="classify",
        target="lmtool.tasks.classify.task:Classification",
        config="lmtool.tasks.classify.config:ClassifyConfig",
        summary="the class of a document, or its labels",
        capabilities=frozenset({"classes"}),
    )
    yield Component(
        name="seq2seq",
        target="lmtool.tasks.seq2seq.task:Seq2Seq",
        config="lmtool.tasks.seq2seq.config:Seq2SeqConfig",
        summary="a text that answers a document: its translation, its summary, an answer",
        capabilities=frozenset({"texts", "encoder"}),
    )
    yield Component(
        name="reinforce",
        target="lmtool.tasks.reinforce.task:Reinforce",
        config="lmtool.tasks.reinforce.config:ReinforceConfig",
        summary="to answer documents with texts that an evaluator judges to be good, from a run of seq2seq",
        capabilities=frozenset({"texts", "encoder", "reward"}),
    )
    yield Component(
        name="reinforce-lm",
        target="lmtool.tasks.reinforce.lm:ReinforceLM",
        config="lmtool.tasks.reinforce.config:ReinforceLMConfig",
        summary="to write texts that an evaluator judges to be good, from a language model",
        capabilities=frozenset({"reward"}),
    )
    yield Component(
        name="span",
        target="lmtool.tasks.span.task:SpanAnswering",
        config="lmtool.tasks.span.config:SpanConfig",
        summary="where in its context a question is answered",
        capabilities=frozenset({"texts"}),
    )
