"""`lmtool score` of language models: lines of text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lmtool.cli import terminal
from lmtool.cli.models import load_model
from lmtool.cli.score_asked import Scoring

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.posterior import Samples
    from lmtool.run import Run
    from lmtool.scoring import Scores


def line_scoring(run: Run, file: str, samples: Samples | None, context: str, *, tokens: bool) -> Scoring:
    """How a language model scores the lines of a text."""
    from lmtool.data.sources import format_suffix
    from lmtool.filters import incoming_text
    from lmtool.score_output import objects

    if format_suffix(file) in (".jsonl", ".ndjson"):
        terminal.warn(f"{file} is scored as plain text; `jq -r .text | lmtool score {run.path}` scores a field")
    model = load_model(run, samples)
    if context == "carry" and not model.stateful:
        terminal.say(f"{run.path} starts each line anew: --context carry changes nothing")
    scored, threads = _scorer(model, run.tokenizer, context, tokens=tokens)
    return Scoring(incoming_text(file), scored, threads, partial(objects, tokens=tokens), "lines")


def _scorer(
    model: LanguageModel, tokenizer: Tokenizer, context: str, *, tokens: bool
) -> tuple[Callable[[str], Scores], int]:
    """What scores a block of lines, and how many threads may do so at once."""
    from lmtool.data.encoding import MOST_THREADS, available_cores
    from lmtool.scoring import score_carried, score_lines

    if context == "line" or not model.stateful:
        threads = 0 if model.stateful else min(MOST_THREADS, available_cores())
        return lambda text: score_lines(model, tokenizer, text, orders=tokens), threads
    state: Any = model.initial_state(1)

    def carried(text: str) -> Scores:
        nonlocal state
        scores, state = score_carried(model, tokenizer, text, state)
        return scores

    return carried, 0
