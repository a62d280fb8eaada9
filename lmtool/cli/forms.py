"""How documents come in, of which a run makes something: as its training text did, if nothing else is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.run import Run


def fields_of_reader(run: Run) -> tuple[str, ...]:
    """Those that the text of the run's training documents came from, `text` if it does not say."""
    named = run.reader.get("text_field", "text")
    return (named,) if isinstance(named, str) else tuple(named)


def prepared_by_reader(run: Run) -> Callable[[str], str]:
    """What the reader of the training text makes of a document's."""
    from lmtool.config import choose_inline
    from lmtool.errors import LmtoolError

    if "name" not in run.reader:
        return str
    try:
        config = choose_inline("reader", run.reader, terminal.registry(), "data.reader").config
    except LmtoolError as error:
        terminal.warn(f"all of each text is read: {error.message}")
        return str
    prepared: Callable[[str], str] = getattr(config, "prepared", str)
    return prepared


__all__ = ["fields_of_reader", "prepared_by_reader"]
