"""Which settings are tried next, and which trial is not worth going on with.

Both are pure functions of the seed and of what trials have come to, so nothing about them has to be saved, and a
search that was interrupted goes on as it would have.
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lmtool.errors import PluginError
from lmtool.tuning.space import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.tuning.record import Trial
    from lmtool.tuning.space import Space, Values

STARTUP = 6
"""Trials of random settings before the model of the good ones is asked."""
ATTEMPTS = 8
"""Draws until settings come that have not been tried."""
MOST_COMBINATIONS = 10_000
"""Of choices, up to which those left are counted."""
SURE = 4
"""Finished trials that the rule for stopping wants to see first."""
PER_EPOCH = 1000
"""Optuna's steps are whole numbers; ours are parts of an epoch."""


def check_installed() -> None:
    """Raise PluginError if Optuna is not installed."""
    if find_spec("optuna") is None:
        raise PluginError("searching needs Optuna, which is not installed", hint="`pip install 'lmtool[tune]'`")


def suggest(space: Space, seed: int, trials: Sequence[Trial], first: dict[str, Any]) -> dict[str, Any] | None:
    """Settings of the trial after these; None if every combination has been tried.

    The first trial has the config's own settings, so that the table tells what the search was good for.

    Args:
        space: At least one setting.
        seed: Of the search.
        trials: So far; those that are still running count as bad, so that others look elsewhere.
        first: The config's own settings; those outside the space are drawn.

    References:
        Bergstra et al., "Algorithms for hyper-parameter optimization", 2011 (TPE);
        Falkner, Klein & Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", 2018 (all at once);
        Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", 2019.
    """
    tried = [one.settings for one in trials]
    for attempt in range(ATTEMPTS):
        settings = _drawn(space, _seed(seed, len(trials), attempt), trials)
        if not trials:
            settings |= {key: first[key] for key in space if key in first and first[key] in space[key]}
        if settings not in tried:
            return settings
    left = _untried(space, tried)
    return left[_seed(seed, len(trials), ATTEMPTS) % len(left)] if left else None


def _drawn(space: Space, seed: int, trials: Sequence[Trial]) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(values) for key, values in space.items()}
    # Constant liar: running trials count among the bad ones.
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        study.add_trial(_for_optuna(trial, space, distributions))
    drawn = study.ask(distributions).params
    return {key: _from_optuna(values, drawn[key]) for key, values in space.items()}


def _distribution(values: Values) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(tuple(range(len(values.values))))  # by number: a list is no value to Optuna
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _from_optuna(values: Values, drawn: Any) -> Any:
    return values.rounded(drawn) if isinstance(values, Range) else values.values[drawn]


def _for_optuna(trial: Trial, space: Space, distributions: dict[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    params = {
        key: trial.settings[key] if isinstance(values, Range) else values.values.index(trial.settings[key])
        for key, values in space.items()
    }
    best = trial.best
    match trial.state:
        case "finished" if best is not None:
            return create_trial(state=TrialState.COMPLETE, value=best.value, params=params, distributions=distributions)
        case "started":
            return create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        case _:
            # One that came to nothing is the worst of the pruned, so that others keep away from it.
            points = {round(one.epoch * PER_EPOCH): one.value for one in trial.points} if best else {}
            return create_trial(
                state=TrialState.PRUNED, params=params, distributions=distributions, intermediate_values=points
            )


def _seed(*parts: int) -> int:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def _untried(space: Space, tried: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All combinations that are left, where they can be counted."""
    columns: list[Sequence[Any]] = []
    count = 1
    for values in space.values():
        if isinstance(values, Range):
            if not values.whole:
                return []
            columns.append(range(int(values.low), int(values.high) + 1))
        else:
            columns.append(values.values)
        count *= len(columns[-1])
    if count > MOST_COMBINATIONS:
        return []
    combinations = (dict(zip(space, row, strict=True)) for row in itertools.product(*columns))
    return [one for one in combinations if one not in tried]


def is_hopeless(trial: Trial, trials: Sequence[Trial]) -> bool:
    """Whether a trial's best validation is worse than the median of what finished trials had reached by then.

    By then: after as many passes over the text, since steps of other batch sizes are not alike.

    References:
        Golovin et al., "Google Vizier: a service for black-box optimization", 2017, section 3.2.1.
    """
    if not trial.points:
        return False
    epoch = trial.points[-1].epoch
    own = trial.upto(epoch)
    others = [one.upto(epoch) for one in trials if one.state == "finished" and one.number != trial.number]
    reached = [value for value in others if value is not None]
    return own is not None and len(reached) >= SURE and own > statistics.median(reached)


__all__ = ["STARTUP", "check_installed", "is_hopeless", "suggest"]
