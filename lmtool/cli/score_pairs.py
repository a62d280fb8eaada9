"""`lmtool score` of text-to-text models: targets of documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lmtool.cli.forms import fields_of_reader, prepared_by_reader
from lmtool.cli.models import load_text_model
from lmtool.cli.score_asked import Scoring
from lmtool.errors import DataError, UsageError

if TYPE_CHECKING:
    from lmtool.incoming import Lines
    from lmtool.posterior import Samples
    from lmtool.run import Run
    from lmtool.scoring_pairs import PairForm, PairScores


@dataclass(frozen=True)
class AskedPairs:
    """The options of that name."""

    field: tuple[str, ...]
    target: tuple[str, ...]
    prefix: str
    as_is: bool


def pair_scoring(run: Run, file: str, samples: Samples | None, asked: AskedPairs, *, tokens: bool) -> Scoring:
    """How a text-to-text model scores the targets of JSON Lines.

    Raises:
        UsageError: if nobody says where the targets stand.
        DataError: if the model gives texts no probabilities.
    """
    from lmtool.data.encoding import available_cores
    from lmtool.evaluation.texts import gives_log_probs
    from lmtool.filters import incoming_text
    from lmtool.incoming import in_pieces
    from lmtool.score_output import record_objects
    from lmtool.scoring_pairs import score_pairs

    form = _form(run, file, asked)
    model = load_text_model(run, samples)
    if not gives_log_probs(model):
        hint = f"a trained network gives them; `lmtool predict {run.path}` answers documents"
        raise DataError(f"{run.path} answers documents, but gives no text a probability", hint)

    def scored(lines: Lines) -> PairScores:
        return score_pairs(model, run.tokenizer, run.target_tokenizer, form.pairs(lines))

    written = partial(record_objects, tokens=tokens, prefix=asked.prefix)
    return Scoring(in_pieces(incoming_text(file)), scored, min(2, available_cores()), written, "records")


def _form(run: Run, file: str, asked: AskedPairs) -> PairForm:
    """Where documents and targets stand: where they stood in training, if nothing is said."""
    from lmtool.data.targets import TargetFields
    from lmtool.incoming import Form
    from lmtool.scoring_pairs import PairForm

    fields, targets = asked.field or fields_of_reader(run), asked.target or run.target_fields
    if not targets:
        raise UsageError(f"{run.path} does not say which field of a record holds the target", hint="`--target` does")
    return PairForm(Form(file, fields, str if asked.as_is else prepared_by_reader(run)), TargetFields(targets))
