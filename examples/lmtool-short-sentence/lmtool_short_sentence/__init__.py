"""The hook: a descriptor only, so that listing plugins stays fast."""

import pluggy

from lmtool.api import Component

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_evaluators():
    yield Component(
        name="short-sentence",
        target="lmtool_short_sentence.judge:ShortSentence",
        summary="the share of texts that are short sentences",
    )
