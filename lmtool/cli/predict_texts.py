"""`lmtool predict` of text-to-text models: an answer to each document."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from lmtool.cli import terminal
from lmtool.cli.models import decoding_of, load_text_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.cli.predict_asked import Asked
    from lmtool.prediction_texts import Answering, Numbered
    from lmtool.run import Run
    from lmtool.settings import DecodingConfig


@dataclass(frozen=True)
class AskedTexts:
    """The options of that name."""

    decoding: Mapping[str, Any]
    """Settings of `evaluation.decoding` that were given."""
    begin: str
    begin_field: str | None
    n_best: bool
    scores: bool


def answer(run: Run, asked: Asked, texts: AskedTexts) -> None:
    """A line for each document, or more where more answers are asked for."""
    from lmtool.evaluation.answers import AnswerText
    from lmtool.prediction_texts import Answering, Begin

    decoding = _decoding(run, texts.decoding)
    begin = Begin(texts.begin, texts.begin_field)
    _check_options(asked, texts)
    model = load_text_model(run, asked.samples)
    spelled = AnswerText(run.tokenizer, run.target_tokenizer, decoding.replace_unknown)
    _write(Answering(model, spelled, decoding, begin, asked.seed), asked, texts)


def _decoding(run: Run, given: Mapping[str, Any]) -> DecodingConfig:
    """As the run is evaluated, but for what is given. One answer, if more are not asked for; a beam wide enough."""
    base = decoding_of(run)
    changed = dict(given)
    n_best = changed.setdefault("n_best", 1)
    if not changed.get("sample", base.sample):
        changed.setdefault("beam", max(base.beam, n_best))
    return decoding_of(run, changed)


def _check_options(asked: Asked, texts: AskedTexts) -> None:
    from lmtool.errors import UsageError

    if texts.begin and texts.begin_field:
        raise UsageError("--begin is the same for all documents, --begin-field differs", hint="give one of the two")
    if texts.begin_field in asked.form.fields:
        what = f"--begin-field names '{texts.begin_field}', which is the document's text"
        raise UsageError(what, hint="`--field` says in which field that is")
    if texts.begin_field and not asked.form.is_records:
        raise UsageError("--begin-field names a field, and lines of text have none", hint="--field reads JSON Lines")
    if (asked.text or asked.prefix) and not _in_json(asked):
        name = "--text" if asked.text else "--prefix"
        raise UsageError(f"{name} is for JSON, and lines are answered with lines", hint="give --json, too")


def _in_json(asked: Asked) -> bool:
    return asked.as_json or (asked.form.is_records and not asked.plain)


def _write(answering: Answering, asked: Asked, texts: AskedTexts) -> None:
    from lmtool.data.encoding import available_cores
    from lmtool.filters import answers, incoming_text
    from lmtool.prediction_texts import TextLayout, numbered

    fields = asked.form.fields
    field = fields[0] if len(fields) == 1 else None
    layout = TextLayout(texts.n_best, texts.scores, field, asked.text, asked.prefix)
    written = layout.to_json if _in_json(asked) else layout.plain

    begin, known, unknown = answering.begin, Event(), Event()

    def answered(piece: Numbered) -> str:
        entries = asked.form.entries(piece.lines)
        for one in entries if begin.field else ():
            (known if begin.is_known_to(one) else unknown).set()
        return "".join(map(written, answering.answers(entries, piece.first)))

    for text in answers(numbered(incoming_text(asked.file), asked.form), answered, min(2, available_cores())):
        terminal.write_now(text)
    if unknown.is_set() and not known.is_set():
        terminal.warn(f"no record has a field '{begin.field}': no answer was made to begin with anything")
