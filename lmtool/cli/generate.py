"""`lmtool generate`: continue prompts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli import terminal
from lmtool.cli.models import PosteriorOption, open_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.generation import Sample

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def generate(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What to continue; - for one prompt a line from stdin.")
    ] = "",
    temperature: Annotated[float, typer.Option(help="Above 1 more varied, below 1 less; 0: always the best.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k most probable tokens only.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the most probable tokens of this mass only.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Stop after so many tokens.")] = 200,
    lines: Annotated[int, typer.Option(help="Stop after so many lines.")] = 1,
    num_samples: Annotated[int, typer.Option(help="Continuations of each prompt.")] = 1,
    only_new: Annotated[bool, typer.Option("--only-new", help="Leave the prompt out.")] = False,
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Let <unk> be drawn.")] = False,
    posterior: PosteriorOption = "mean",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a prompt.")] = False,
) -> None:
    """Continue a prompt with a trained model, to the end of the line."""
    from lmtool.errors import UsageError
    from lmtool.generation import Sampling, encode_prompt
    from lmtool.generation import generate as continuations
    from lmtool.posterior import parse

    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        allow_unknown=allow_unknown,
        max_tokens=max_tokens,
        lines=lines,
    )
    for name, value, least in (("seed", seed, 0), ("num-samples", num_samples, 1)):
        if value < least:
            raise UsageError(f"{name} must be at least {least}, got {value}")
    opened, model = open_model(run, parse(posterior, seed))
    tokenizer = opened.tokenizer
    for number, text in enumerate(_prompts(prompt)):
        _note_unknown(text, tokenizer.unk_id, encode_prompt(tokenizer, text))
        samples = list(continuations(model, tokenizer, text, sampling, seed=(seed, number), num_samples=num_samples))
        head = "" if only_new else text
        if as_json:
            _write(_to_json(text, head, seed, samples))
        else:
            between = "\n\n" if lines > 1 else "\n"
            _write(between.join(head + sample.text for sample in samples))


def _prompts(prompt: str) -> Iterator[str]:
    from lmtool.filters import incoming_lines

    if prompt != "-":
        yield _as_text(prompt)
        return
    for batch in incoming_lines("-"):
        yield from batch


def _as_text(prompt: str) -> str:
    """An argument as text that was read: line ends are `\\n`. Raises UsageError if it is not UTF-8."""
    from lmtool.errors import UsageError

    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--prompt is not UTF-8 at character {error.start + 1}") from None
    return prompt.replace("\r\n", "\n").replace("\r", "\n")


def _note_unknown(prompt: str, unk_id: int | None, ids: list[int]) -> None:
    if unk_id is not None and unk_id in ids:
        shown = " ".join(prompt.split())
        terminal.say(f"{ids.count(unk_id)} of {len(ids)} tokens of the prompt are not in the vocabulary: {shown}")


def _to_json(prompt: str, head: str, seed: int, samples: list[Sample]) -> str:
    from lmtool.evaluation.json_report import number

    described = [
        {
            "text": head + sample.text,
            "tokens": len(sample.ids),
            "nats": number(float(-sample.log_probs.sum())),
            "ended": sample.ended,
        }
        for sample in samples
    ]
    answer = {"schema": 1, "prompt": prompt, "seed": seed, "samples": described}
    return json.dumps(answer, ensure_ascii=False, allow_nan=False)


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
