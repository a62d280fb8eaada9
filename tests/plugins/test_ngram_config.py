"""Settings of the n-gram model."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lmtool_ngram.config import NgramConfig, bytes_of


@pytest.mark.parametrize(
    ("size", "expected"),
    [("1", 1), ("1 B", 1), ("2kb", 2048), ("1.5 MB", 3 << 19), ("4 GB", 1 << 32), ("1 GiB", 1 << 30), ("1t", 1 << 40)],
)
def test_sizes_are_powers_of_1024(size, expected):
    assert bytes_of(size) == expected


@pytest.mark.parametrize("size", ["", "0", "0.1", "MB", "1 XB", "-1 MB", "1 IB MB", "9" * 400, "1 GBB", "٣ MB"])
def test_what_is_no_size_is_an_error(size):
    with pytest.raises(ValidationError, match="is no size; one is written as 512 MB or 4 GB"):
        NgramConfig(memory=size)


@pytest.mark.parametrize("prune", [[1], [0, 2, 1], [0, -1]])
def test_thresholds_begin_with_zero_and_never_fall(prune):
    with pytest.raises(ValidationError, match="threshold"):
        NgramConfig(prune=prune)
