"""The hooks that a plugin may implement, one a kind of component. Imports pluggy only.

A plugin is a module named by an entry point in the group `lmtool`. Its hooks take no arguments and yield light
descriptors (`lmtool.api.Component`), never built objects; what a descriptor's `target` names is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmtool.api import CommandSpec, Component

hookspec = pluggy.HookspecMarker("lmtool")


@hookspec
def lmtool_register_readers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Data formats, and data sets by name. The target follows `lmtool.api.Reader`."""


@hookspec
def lmtool_register_tokenizers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Text to ids and back. The target follows `lmtool.api.Tokenizer`."""


@hookspec
def lmtool_register_models() -> Iterable[Component]:  # type: ignore[empty-body]
    """Backbones (`lmtool.api.Backbone`) and fitted models (`lmtool.api.FittedModel`)."""


@hookspec
def lmtool_register_tasks() -> Iterable[Component]:  # type: ignore[empty-body]
    """What is learned: inputs, head, loss and predictions. The target follows `lmtool.api.Task`."""


@hookspec
def lmtool_register_optimizers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Gradient to update. The target follows `lmtool.api.OptimizerFactory`."""


@hookspec
def lmtool_register_steps() -> Iterable[Component]:  # type: ignore[empty-body]
    """The compiled training step, for any task and optimizer. The target follows `lmtool.api.StepFactory`."""


@hookspec
def lmtool_register_evaluators() -> Iterable[Component]:  # type: ignore[empty-body]
    """Numbers from predictions. The target follows `lmtool.api.Evaluator`."""


@hookspec
def lmtool_register_trackers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Somewhere to send a run's metrics. The target follows `lmtool.api.Tracker`."""


@hookspec
def lmtool_register_augmentations() -> Iterable[Component]:  # type: ignore[empty-body]
    """Changes to training documents that leave their class. The target follows `lmtool.api.Augmentation`."""


@hookspec
def lmtool_register_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Sub-commands of `lmtool`. The target is a `typer.Typer` application."""
