"""The checks of descriptors find what is wrong, and say it in a way that an author understands."""

from __future__ import annotations

import sys

import pytest

from lmtool.api import Component
from lmtool.config import Config
from lmtool.plugins.probe import EntryPoint
from lmtool.registry import Found
from lmtool.testing import Subject
from lmtool.testing.descriptors import (
    check_config_is_documented,
    check_entry_module_is_light,
    check_summary_is_one_line,
)


def subject(module="json", summary="a model", config=None):
    component = Component(name="x", target="a:b", summary=summary, config=config)
    return Subject(Found("model", component, EntryPoint("x", module, "x", "1.0")), Config())


def test_a_heavy_entry_module_is_named_with_what_it_brings():
    check_entry_module_is_light(subject("json"))

    with pytest.raises(AssertionError, match=r"import numpy also imports numpy; import it where it is used"):
        check_entry_module_is_light(subject("numpy"))


def test_a_module_that_cannot_be_imported_is_named_with_the_reason():
    with pytest.raises(AssertionError, match=r"nowhere cannot be imported: ModuleNotFoundError: No module named"):
        check_entry_module_is_light(subject("nowhere"))


def test_a_summary_is_one_short_line():
    for summary in ("", "two\nlines", "x" * 101):
        with pytest.raises(AssertionError, match="the summary"):
            check_summary_is_one_line(subject(summary=summary))


class Bare(Config):
    """Settings."""

    size: int = 3


def test_a_field_without_a_description_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bare", sys.modules[__name__])

    with pytest.raises(AssertionError, match="Bare has fields without a description: size"):
        check_config_is_documented(subject(config="bare:Bare"))
