"""Settings of an ensemble."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator

from lmtool.config import Config

SECTIONS = ("task", "model", "optimizer", "training")
"""Of a config, those that a member may have."""


class Member(Config):
    """`[[model.members]]`: the sections of a config of its own, without its text, which is that of the whole."""

    model: dict[str, Any] = Field(description="`name` of a model and its settings")
    task: dict[str, Any] = Field({}, description="settings of the task")
    optimizer: dict[str, Any] = Field({}, description="`name` of an optimizer and its settings")
    training: dict[str, Any] = Field({}, description="as in a config")
    seeds: PositiveInt = Field(1, description="how many are trained, with one seed after another")

    def sections(self) -> dict[str, Any]:
        """As a config has them; empty ones left out."""
        return {name: getattr(self, name) for name in SECTIONS if getattr(self, name)}


class EnsembleConfig(Config):
    """`[model] name = "ensemble"`."""

    members: list[Member] = Field(
        min_length=1, description="tables, each with the sections `model`, `task`, `optimizer`, `training`, and `seeds`"
    )
    combine: Literal["mean", "tuned"] = Field(
        "mean",
        description="of the members' probabilities: their mean, or one with weights tuned on the `valid` split",
    )
    seed: int = Field(0, ge=0, description="times `seeds`, is added to a member's seed: no two ensembles share one")

    @field_validator("members")
    @classmethod
    def _no_ensembles(cls, members: list[Member]) -> list[Member]:
        if any(member.model.get("name") == "ensemble" for member in members):
            raise ValueError("a member cannot be an ensemble itself; put its members beside the others")
        return members


class TextEnsembleConfig(Config):
    """`[model] name = "text-ensemble"`."""

    RUNS = frozenset({"runs"})

    runs: list[str] = Field(
        min_length=2, description="folders of trained text-to-text networks; they are copied into this run"
    )


__all__ = ["EnsembleConfig", "Member", "TextEnsembleConfig"]
