"""`sklearn:20newsgroups`: data sets of text that scikit-learn loads, from its own cache; it fetches what is not there.

The cache of 20 Newsgroups is a pickle in the user's home, written and read by scikit-learn alone. Which folder that is,
is for the environment to say (`SCIKIT_LEARN_DATA`), not for a config that may be somebody else's.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from lmtool.errors import DataError, did_you_mean
from lmtool_readers.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import SklearnConfig

PARTS = ("train", "test")
NAME = "20newsgroups"


class SklearnReader:
    """`20newsgroups#train` and `#test`, split by date, or both; in the order of scikit-learn, unshuffled.

    The field `label` is the name of the group. Posts are Latin-1 text with all their headers.
    """

    def __init__(self, config: SklearnConfig) -> None:
        self.config = config

    def read(self, source: str) -> Iterator[Record]:
        name, _, part = source.partition("#")
        if name != NAME:
            raise DataError(
                f"no data set 'sklearn:{name}'{did_you_mean(name, [NAME])}", hint=f"`sklearn:{NAME}` is one"
            )
        if part and part not in PARTS:
            raise DataError(f"sklearn:{name} has no part '{part}'", hint=f"its parts are {', '.join(PARTS)}")
        posts = self._load(part or "all")
        for text, target in zip(posts.data, posts.target, strict=True):
            yield from document(text, {"label": posts.target_names[target]})

    def _load(self, part: str) -> Any:
        from sklearn.datasets import fetch_20newsgroups, get_data_home

        try:
            with contextlib.redirect_stdout(sys.stderr):  # it prints what is wrong with a cache
                return fetch_20newsgroups(
                    subset=part,
                    shuffle=False,
                    remove=tuple(self.config.remove),
                    download_if_missing=self.config.download,
                )
        except OSError as error:
            where = f"not in {get_data_home()}" + (f", and cannot be fetched: {error}" if self.config.download else "")
            hint = f'on a machine with a network: `python -c "from sklearn.datasets import *; fetch_{NAME}()"`'
            raise DataError(f"sklearn:{NAME} is {where}", hint) from None


__all__ = ["SklearnReader"]
