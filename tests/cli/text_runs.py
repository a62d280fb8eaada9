"""Documents with targets, for runs that answer with texts and need no training: a copy, and the first sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = [("the dog runs . it is old .", "the dog runs ."), ("a cat sleeps . nobody sees it .", "a cat sleeps .")]
TEST = [
    ("the dog sleeps . it is old .", ["the dog sleeps .", "a dog sleeps ."]),
    ("a cat runs . nobody sees it .", ["a cat runs quickly ."]),
    ("the old dog sees a cat .", ["the old dog sees it ."]),
    ("nobody runs . the cat is old .", ["nobody runs ."]),
]


def write_pairs(path: Path, rows: list) -> None:
    """JSON Lines of fields `body`, `title`, `id`."""
    records = [{"body": body, "title": title, "id": number} for number, (body, title) in enumerate(rows)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
