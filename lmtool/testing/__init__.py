"""The conformance kit: what every plugin of a kind must do, as tests that a plugin's author runs.

    from lmtool.testing import conformance


    @conformance("model", "my-lstm", config={"hidden_size": 16})
    def test_my_lstm(check):
        check()

Each property is a function `check_<property>(subject)` in `lmtool.testing.<kind>s` with a docstring that says what it
asks for. Where that is nothing, as causality of an encoder, it raises `Skipped` with the reason, which pytest reports
as a skip. A property that a component is known to lack is named with the reason in `expected_failures`; if it then
holds all the same, that is an error too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lmtool.testing.subject import Skipped, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.registry import Registry

__all__ = ["CHECKED", "Skipped", "Subject", "checks", "conformance"]

CHECKED = ("reader", "tokenizer", "model", "optimizer", "evaluator", "augmentation")
"""Kinds that have checks."""

_MODULES = {
    "reader": ("readers",),
    "tokenizer": ("tokenizers",),
    "optimizer": ("optimizers",),
    "evaluator": ("evaluators",),
    "text-evaluator": ("text_evaluators",),
    "augmentation": ("augmentations",),
    "backbone": ("backbones", "language_models"),
    "fitted": ("language_models",),
    "classifier": ("classifiers",),
    "answerer": ("answerers",),
}
"""Kind, or what a model or an evaluator is, to the modules whose `CHECKS` apply; an evaluator's by what it takes."""


def checks(
    kind: str, name: str, config: Mapping[str, Any] | None = None, registry: Registry | None = None
) -> dict[str, Callable[[], None]]:
    """The properties that a component must have, by name, each ready to be called; see `Skipped`.

    Args:
        kind: Of the component.
        name: Its name, as in a config.
        config: Settings to test it with; small ones, so that the tests are fast.
        registry: Where to look for it; all that is installed if left out.

    Raises:
        PluginError: if there is no such component.
        ConfigError: if the settings are wrong.
        ValueError: if the kind has no checks.
    """
    import importlib

    from lmtool import registry as host
    from lmtool.config import choose_inline
    from lmtool.testing import descriptors

    choice = choose_inline(kind, {"name": name, **(config or {})}, registry or host.Registry(), kind)
    subject = Subject(choice.found, choice.config)
    keys = {"model": _keys_of_model, "evaluator": _keys_of_evaluator}.get(kind, lambda _: [kind])(subject)
    if not any(key in _MODULES for key in keys):
        raise ValueError(f"there are no checks for {kind} '{name}'; kinds with checks: {', '.join(CHECKED)}")
    modules = [importlib.import_module(f"lmtool.testing.{module}") for key in keys for module in _MODULES[key]]
    found = [*dict.fromkeys([*descriptors.CHECKS, *(check for module in modules for check in module.CHECKS)])]
    if "backbone" in keys:
        from lmtool.testing import language_models
        from lmtool.testing.backbones import where_causal

        found = [where_causal(check) if check in language_models.CHECKS else check for check in found]
    named: dict[str, Callable[[], None]] = {
        check.__name__.removeprefix("check_"): partial(check, subject) for check in found
    }
    assert len(named) == len(found), "two checks have one name, and one of them would not run"
    return named


def _keys_of_model(subject: Subject) -> list[str]:
    capabilities = subject.component.capabilities
    if "texts" in capabilities:
        return ["answerer"]
    return ["classifier"] if "classifier" in capabilities else sorted(capabilities & {"backbone", "fitted"})


def _keys_of_evaluator(subject: Subject) -> list[str]:
    """One that cannot be made is asked what the others are: the checks say why."""
    try:
        takes = subject.load()(subject.config).takes
    except Exception:
        takes = None
    return ["text-evaluator"] if takes == "texts" else ["evaluator"]


def conformance(
    kind: str,
    name: str,
    config: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """Parametrize a test over the properties; the test is given `check`, a function without arguments.

    Args:
        kind: As for `checks`.
        name: As for `checks`.
        config: As for `checks`.
        expected_failures: Property to the reason why it does not hold.
    """
    import pytest

    known = checks(kind, name, config)
    reasons = dict(expected_failures or {})
    if unknown := set(reasons) - set(known):
        raise ValueError(f"no check is called {sorted(unknown)[0]!r}; checks: {', '.join(known)}")
    parameters = [
        pytest.param(
            check,
            id=f"{name}-{label}",
            marks=[pytest.mark.xfail(reason=reasons[label], strict=True)] if label in reasons else [],
        )
        for label, check in known.items()
    ]
    return pytest.mark.parametrize("check", parameters)
