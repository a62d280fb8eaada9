"""The parts of a mixture: opened as runs, kept in the mixture's own folder, opened again from there.

MODEL/
  mixture.json      format version, mode, weights, the parts in order, runs first
  part-0/ …         a run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lmtool.errors import ConfigError
from lmtool.facts import read_facts, write_facts
from lmtool.parts import Part
from lmtool.run import Run
from lmtool_mixture.caches import NeuralCache, UnigramCache
from lmtool_mixture.config import MODES, NeuralCacheConfig, UnigramCacheConfig, candidates
from lmtool_mixture.ensemble import Ensemble, Listener

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmtool.data.dataset import Dataset

    CacheSettings = UnigramCacheConfig | NeuralCacheConfig

logger = logging.getLogger("lmtool.mixture")

FACTS = "mixture.json"


@dataclass(frozen=True)
class Parts:
    """All of a mixture but how they are weighted."""

    runs: tuple[Part, ...]
    caches: tuple[CacheSettings, ...] = ()
    """Each setting with one value."""

    @cached_property
    def ensemble(self) -> Ensemble:
        return Ensemble([part.model for part in self.runs], [self._listener(cache) for cache in self.caches])

    def with_caches(self, caches: Sequence[CacheSettings]) -> Parts:
        """The same runs with other caches."""
        return replace(self, caches=tuple(caches))

    def _listener(self, settings: CacheSettings) -> Listener:
        if isinstance(settings, UnigramCacheConfig):
            return Listener(UnigramCache(_one(settings.window), _one(settings.half_life)))
        names = [part.name for part in self.runs]
        return Listener(NeuralCache(_one(settings.window), _one(settings.theta)), names.index(settings.run))

    def weighted(self, weights: Sequence[float]) -> list[dict[str, Any]]:
        """Each part with its weight, for people and programs."""
        named = [{"run": part.name} for part in self.runs]
        named += [
            {"cache": cache.kind, **cache.model_dump(exclude={"kind"}, exclude_none=True)} for cache in self.caches
        ]
        return [{**one, "weight": weight} for one, weight in zip(named, weights, strict=True)]

    def save(self, folder: Path, *, mode: str, weights: Sequence[float]) -> None:
        for number, part in enumerate(self.runs):
            part.save(folder / f"part-{number}")
        record = {
            "mode": mode,
            "runs": [part.name for part in self.runs],
            "caches": [cache.model_dump(exclude_none=True) for cache in self.caches],
            "weights": list(weights),
        }
        write_facts(folder / FACTS, record)


def _one(value: Any) -> Any:
    """The value of a setting that could have had several."""
    if isinstance(value, list):
        raise ValueError(f"{value} is more than one value")
    return value


def open_runs(paths: Sequence[str], caches: Sequence[CacheSettings], dataset: Dataset) -> Parts:
    """The runs that a config names.

    Raises:
        ConfigError: if one was trained with another tokenizer than the dataset, or a cache needs hidden states that
            there are not.
        DataError: if one is no run, has no model yet, or is damaged.
    """
    for cache in caches:
        if isinstance(cache, NeuralCacheConfig) and cache.run not in paths:
            raise ConfigError(f"model.caches: run must be one of model.runs, {', '.join(paths)}, got {cache.run}")
    for path in paths:
        run = Run.open(path)
        if run.dataset_fingerprint != dataset.fingerprint:
            raise _other_tokenizer(path, paths, dataset)
        if not run.is_finished:
            logger.warning("%s is not finished; its best model so far is mixed", path)
    parts = Parts(tuple(Part.open(path, path) for path in paths))
    for cache in caches:
        if isinstance(cache, NeuralCacheConfig) and not _has_hidden(parts, cache.run):
            raise ConfigError(
                f"model.caches: {cache.run} has no hidden states to compare", '`kind = "unigram"` needs none'
            )
    return parts


def _has_hidden(parts: Parts, name: str) -> bool:
    return any(part.name == name and hasattr(part.model, "score_hidden") for part in parts.runs)


def _other_tokenizer(path: str, paths: Sequence[str], dataset: Dataset) -> ConfigError:
    same = [one for one in paths if Run.open(one).dataset_fingerprint == dataset.fingerprint]
    other = same[0] if same else f"the dataset {dataset.path}"
    hint = "models are mixed token by token: train them on one dataset"
    return ConfigError(f"model.runs: {path} has another tokenizer than {other}", hint)


def load(folder: Path) -> tuple[Parts, dict[str, Any]]:
    """What `Parts.save` wrote: the parts, and the record. Raises DataError if it is damaged."""
    record = read_facts(folder / FACTS, _parse)
    parts = (Part.open(name, folder / f"part-{number}") for number, name in enumerate(record["runs"]))
    return Parts(tuple(parts), tuple(record["caches"])), record


def _cache(settings: dict[str, Any]) -> CacheSettings:
    if (kind := settings["kind"]) not in _KINDS:
        raise ValueError(f"no cache is of kind {kind!r}")
    try:
        return _KINDS[kind].model_validate(settings)
    except ValidationError:
        raise ValueError("its caches cannot be made") from None


def _parse(record: dict[str, Any]) -> dict[str, Any]:
    caches = [_cache(one) for one in record["caches"]]
    weights = [float(weight) for weight in record["weights"]]
    if record["mode"] not in MODES or not record["runs"] or len(weights) != len(record["runs"]) + len(caches):
        raise ValueError("what it says does not go together")
    if not all(map(math.isfinite, weights)):
        raise ValueError("its weights are no numbers")
    if any(len(candidates(one)) > 1 or getattr(one, "run", record["runs"][0]) not in record["runs"] for one in caches):
        raise ValueError("its caches cannot be made")
    return {**record, "runs": [str(name) for name in record["runs"]], "caches": caches, "weights": weights}


_KINDS: dict[str, type[UnigramCacheConfig] | type[NeuralCacheConfig]] = {
    "unigram": UnigramCacheConfig,
    "neural": NeuralCacheConfig,
}
