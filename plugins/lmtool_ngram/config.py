"""Settings of the n-gram model."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lmtool.config import Config

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _checked_size(size: str) -> str:
    bytes_of(size)
    return size


def bytes_of(size: str) -> int:
    """`512 MB` as a number of bytes; K, M, G and T are powers of 1024. Raises ValueError if it is no size."""
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?\s*", size.upper())
    if not match or not (number := int(float(match[1]) * _UNITS[match[2]])):
        raise ValueError(f"'{size}' is no size; one is written as 512 MB or 4 GB")
    return number


def _checked_prune(thresholds: list[int]) -> list[int]:
    if any(one < 0 for one in thresholds) or thresholds != sorted(thresholds):
        raise ValueError("thresholds are 0 or more and never fall from one order to the next, as in [0, 0, 1]")
    if thresholds and thresholds[0]:
        raise ValueError("the first threshold must be 0: the vocabulary is the tokenizer's (`tokenizer.min_count`)")
    return thresholds


Smoothing = Literal["modified-kneser-ney", "kneser-ney", "absolute", "witten-bell", "add-k", "stupid-backoff"]


class NgramConfig(Config):
    """An n-gram model; how it is counted, smoothed, pruned and stored."""

    order: int = Field(5, ge=1, le=10, description="n: a token is predicted from the n-1 before it in its line")
    smoothing: Smoothing = Field(
        "modified-kneser-ney", description="how probability is kept for what was not seen; the first is best"
    )
    add_k: float = Field(1.0, gt=0, description="`add-k` only: what is added to each count")
    unknown: Literal["word", "mass", "skip"] = Field(
        "word",
        description="`<unk>` in the training text: `word`, an ordinary word with its counts; `mass`, no n-gram with it "
        "is counted, so that an unknown word gets what is kept for unseen words; `skip`, left out of the text, its "
        "neighbours side by side (as `lmplz --skip_symbols`)",
    )
    prune: Annotated[list[int], AfterValidator(_checked_prune)] = Field(
        [], description="for each order the count up to which n-grams are left out, as [0, 0, 1]; the last goes on"
    )
    prune_entropy: float = Field(
        0.0, ge=0, description="n-grams are left out whose loss raises perplexity by less than this share, as 1e-8"
    )
    quantize: int = Field(
        0, ge=0, le=16, description="bits of a stored probability or back-off; 0 keeps them exact (32 bits)"
    )
    memory: Annotated[str, AfterValidator(_checked_size)] = Field(
        "1 GB",
        description="what counting may use beside the program itself (about 150 MB); what does not fit goes to disk",
    )
