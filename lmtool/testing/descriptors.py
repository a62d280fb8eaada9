"""What every component must do, whatever its kind: be light to list, and documented."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

from lmtool.testing.subject import Skipped, Subject

HEAVY = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax",
    "numpy",
    "scipy",
    "sklearn",
    "torch",
    "tokenizers",
    "rich",
    "pandas",
)
"""What a plugin's entry module must not import: listing plugins would pay for it."""


def check_entry_module_is_light(subject: Subject) -> None:
    """Importing the module that holds the hooks brings no heavy library."""
    module = subject.found.plugin.value.partition(":")[0]
    heavy = _heavy_imports(module)
    assert not heavy, f"import {module} also imports {heavy}; import it where it is used"


def check_config_module_is_light(subject: Subject) -> None:
    """Importing the settings' module brings no heavy library, so that `plugins show` and `config check` are fast."""
    if subject.component.config is None:
        raise Skipped("it has no settings")
    module = subject.component.config.partition(":")[0]
    heavy = _heavy_imports(module)
    assert not heavy, f"import {module} also imports {heavy}; keep settings apart"


@cache
def _heavy_imports(module: str) -> str:
    """The heavy libraries that a fresh process holds after importing a module, separated by spaces."""
    # On stderr, after a mark of our own: a module may print what it likes.
    code = f"import sys, {module}; print('heavy:', *sorted(set(sys.modules) & {set(HEAVY)!r}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    assert done.returncode == 0, f"{module} cannot be imported: {last}"
    return last.removeprefix("heavy:").strip()


def check_config_is_documented(subject: Subject) -> None:
    """Settings are a `lmtool.config.Config` with a docstring, and each field has a description."""
    from lmtool.config import Config

    schema = subject.found.config_class()
    assert issubclass(schema, Config), f"{schema.__name__} must be a subclass of lmtool.config.Config"
    bare = [name for name, info in schema.model_fields.items() if not info.description]
    assert not bare, f"{schema.__name__} has fields without a description: {', '.join(bare)}"


def check_config_round_trips(subject: Subject) -> None:
    """Settings survive being written to a file and read again."""
    written = subject.config.model_dump(mode="json", exclude_none=True)
    assert type(subject.config).model_validate(written) == subject.config


def check_summary_is_one_line(subject: Subject) -> None:
    """The summary fits a line of the list."""
    summary = subject.component.summary
    assert summary, "the summary is empty"
    assert "\n" not in summary, "the summary has more than one line"
    assert len(summary) <= 100, f"the summary has {len(summary)} characters; 100 is the most"


CHECKS = (
    check_entry_module_is_light,
    check_config_module_is_light,
    check_config_is_documented,
    check_config_round_trips,
    check_summary_is_one_line,
)
