"""One TOML file says everything about a run.

    [data]        the text or the dataset          [optimizer]   gradient to update
    [tokenizer]   text to ids                      [training]    how long, how often, which seed
    [task]        what is learned                  [evaluation]  which numbers
    [model]       the backbone or counted model

`[tokenizer]`, `[task]`, `[model]` and `[optimizer]` name a component and give its settings; each component brings its
own schema (a subclass of `Config`). Unknown keys and wrong types are errors that name file, key and cure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lmtool import pretrained
from lmtool.config_errors import explain
from lmtool.errors import ConfigError, did_you_mean
from lmtool.raw_config import Raw, apply_overrides, read_raw
from lmtool.settings import Config, DataConfig, EvaluationConfig, TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lmtool.registry import Found, Registry


@dataclass(frozen=True)
class Choice:
    """A component that a config names, with its settings."""

    kind: str
    name: str
    config: Config
    found: Found

    def load(self) -> Any:
        """The component's target, imported."""
        return self.found.load()


@dataclass(frozen=True)
class RunConfig:
    """A whole, valid config."""

    data: DataConfig
    tokenizer: Choice | None
    """None if `data.path` names a dataset, which brings its own."""
    task: Choice
    model: Choice
    optimizer: Choice | None
    """None for fitted models."""
    training: TrainingConfig
    evaluation: EvaluationConfig
    encoder: Choice | None = None
    """What reads the source, of a task that has one: `task.encoder`."""
    init_from: str | None = None
    """The run whose backbone and embedding training starts from: `model.init_from`."""

    def to_dict(self) -> dict[str, Any]:
        """Every setting, defaults included, as TOML can hold it (None is left out)."""
        sections: dict[str, Any] = {}
        for name in SECTIONS:
            value = getattr(self, name)
            if isinstance(value, Choice):
                sections[name] = {"name": value.name, **value.config.model_dump(mode="json", exclude_none=True)}
            elif value is not None:
                sections[name] = value.model_dump(mode="json", exclude_none=True)
        if self.init_from is not None:
            sections["model"][pretrained.KEY] = self.init_from
        return sections

    def identity(self) -> dict[str, Any]:
        """As `to_dict`, without what has come since the first version and has its default: see `Config.LATER`."""
        sections = self.to_dict()
        for name in SECTIONS:
            value = getattr(self, name)
            config = value.config if isinstance(value, Choice) else value
            if config is not None:
                sections[name] = {k: v for k, v in sections[name].items() if not config.is_later_default(k)}
        return sections

    def to_toml(self) -> str:
        import tomli_w

        return tomli_w.dumps(self.to_dict())


COMPONENT_SECTIONS = ("tokenizer", "task", "model", "optimizer")
CORE_SECTIONS: dict[str, type[Config]] = {
    "data": DataConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
}
SECTIONS = ("data", "tokenizer", "task", "model", "optimizer", "training", "evaluation")
DEFAULT_LABEL = "label"
"""The field of labels where the task is classification and `data.label` is left out."""
DEFAULT_TARGET = "target"
"""The field of targets where the task's models answer texts with texts and `data.target` is left out."""
DEFAULT_NAMES = {"tokenizer": "word", "task": "lm", "optimizer": "adamw"}


def resolve(raw: Raw, registry: Registry) -> RunConfig:
    """Validate every section against its schema.

    Raises:
        ConfigError: for the first wrong key, with file, key, what was meant and what is allowed.
        PluginError: if a component is unknown.
    """
    check_sections(raw)
    raw = pretrained.with_source(raw, registry)
    core = {name: _validate(schema, raw, name) for name, schema in CORE_SECTIONS.items()}
    model = choose(raw, "model", registry)
    fitted = "fitted" in model.found.component.capabilities
    if fitted and _takes_seed(model, raw):
        model = replace(model, config=model.config.model_copy(update={"seed": core["training"].seed}))
    if fitted and raw.values.get("optimizer"):
        where = raw.where("optimizer")
        raise ConfigError(f"{where}[optimizer] has no use: model '{model.name}' is counted, it takes no steps")
    if fitted:
        _check_steps(core["training"], model, raw)
    task, encoder = _with_encoder(choose(raw, "task", registry), model, registry, raw)
    core["data"] = _with_fields(core["data"], task)
    tokenizer = _choose_tokenizer(raw, core["data"], registry)
    check_inline(core, registry, raw)
    if reward_of(task, registry, raw) is not None and "monitor" not in core["training"].model_fields_set:
        core["training"] = core["training"].model_copy(update={"monitor": "reward"})
    return RunConfig(
        **core,
        tokenizer=tokenizer,
        task=task,
        model=model,
        optimizer=None if fitted else choose(raw, "optimizer", registry),
        encoder=encoder,
        init_from=pretrained.init_from(raw),
    )


def _check_steps(training: TrainingConfig, model: Choice, raw: Raw) -> None:
    """Raise ConfigError for a setting of steps, which a fitted model does not take. A default says nothing: stored
    configs and templates have them all."""
    for key, field in type(training).model_fields.items():
        if key not in training.USED_BY_FITTED and getattr(training, key) != field.default:
            path = f"training.{key}"
            problem = f"{raw.where(path)}{path} has no use: model '{model.name}' is counted, it takes no steps"
            own = key in type(model.config).model_fields
            raise ConfigError(problem, hint=f"`model.{key}` is the model's own setting" if own else None)


def _takes_seed(model: Choice, raw: Raw) -> bool:
    """Whether a fitted model's own seed is that of [training]: if it has one that is not said, or is in the file alone
    and `training.seed` is said over the file. A stored config says both, so that it stays as it is."""
    if "seed" not in type(model.config).model_fields or "seed" not in raw.values.get("training", {}):
        return False
    is_over_file = raw.origin("training.seed") is not None and raw.origin("model.seed") is None
    return "seed" not in model.config.model_fields_set or is_over_file


def data_section(raw: Raw, registry: Registry) -> DataConfig:
    """`[data]` alone, as `resolve` gives it: text comes with the labels or the targets that the task learns."""
    data: DataConfig = core_section(raw, "data")
    return _with_fields(data, choose(raw, "task", registry))


def _with_fields(data: DataConfig, task: Choice) -> DataConfig:
    capabilities = task.found.component.capabilities
    if data.path is None and data.label is None and "classes" in capabilities:
        return data.model_copy(update={"label": DEFAULT_LABEL})
    if data.path is None and data.target is None and "texts" in capabilities:
        return data.model_copy(update={"target": DEFAULT_TARGET})
    return data


def _choose_tokenizer(raw: Raw, data: DataConfig, registry: Registry) -> Choice | None:
    """None if a dataset brings it, or the run that training starts from."""
    given, source = "tokenizer" in raw.values, pretrained.init_from(raw)
    if source is not None:
        if given:
            pretrained.check_tokenizer(source, choose(raw, "tokenizer", registry), raw.where("tokenizer"))
        return None
    return None if data.path is not None and not given else choose(raw, "tokenizer", registry)


def check_sections(raw: Raw) -> None:
    """Raise ConfigError for a section that there is not, or that is no table."""
    for name, section in raw.values.items():
        if name not in SECTIONS:
            hint = f"sections are {', '.join(SECTIONS)}"
            raise ConfigError(f"{raw.where(name)}unknown section [{name}]{did_you_mean(name, SECTIONS)}", hint)
        if not isinstance(section, dict):
            raise ConfigError(f"{raw.where(name)}{name} must be a table, got {section!r}")


def core_section(raw: Raw, name: str) -> Any:
    """`[data]`, `[training]` or `[evaluation]` alone, validated as `resolve` does it."""
    return _validate(CORE_SECTIONS[name], raw, name)


def choose(raw: Raw, kind: str, registry: Registry) -> Choice:
    """The component that section `[kind]` names, with its validated settings."""
    section = dict(raw.values.get(kind, {}))
    if kind == "model":
        section.pop(pretrained.KEY, None)
    name = section.pop("name", DEFAULT_NAMES.get(kind))
    if name is None:
        names = ", ".join(registry.names(kind))
        raise ConfigError(f"{raw.where(kind)}{kind}.name is missing; installed: {names}", f"`--{kind} NAME` sets it")
    if not isinstance(name, str):
        raise ConfigError(f"{raw.where(f'{kind}.name')}{kind}.name must be a string, got {name!r}")
    found = registry.find(kind, name)
    return Choice(kind, name, _validate(found.config_class(), raw, kind, section), found)


def encoder_of(task: Choice, model: Choice, registry: Registry, raw: Raw | None = None) -> Choice | None:
    """The encoder of a task that has one: the model itself, in both directions where it can, if `task.encoder` is left
    out; None of other tasks, and of models that take no steps.

    Raises:
        ConfigError: if it is no backbone.
    """
    if "encoder" not in task.found.component.capabilities or "fitted" in model.found.component.capabilities:
        return None
    setting = getattr(task.config, "encoder", None)
    if setting is None:
        setting = {"name": model.name, **model.config.model_dump(mode="json", exclude_none=True)}
        both_ways = {"bidirectional": True, "causal": False}
        setting |= dict(
            [(key, value) for key, value in both_ways.items() if key in type(model.config).model_fields][:1]
        )
    encoder = choose_inline("model", setting, registry, "task.encoder", raw)
    if "backbone" not in encoder.found.component.capabilities:
        where = (raw or Raw()).where("task.encoder")
        raise ConfigError(
            f"{where}task '{task.name}' needs an encoder that takes steps, and model '{encoder.name}' is counted",
            hint="`--set task.encoder.name=lstm`, or another backbone",
        )
    return encoder


def _with_encoder(task: Choice, model: Choice, registry: Registry, raw: Raw) -> tuple[Choice, Choice | None]:
    """The task with all settings of its encoder, and the encoder."""
    encoder = encoder_of(task, model, registry, raw)
    if encoder is None:
        return task, None
    setting = {"name": encoder.name, **encoder.config.model_dump(mode="json", exclude_none=True)}
    return replace(task, config=task.config.model_copy(update={"encoder": setting})), encoder


def reward_of(task: Choice, registry: Registry, raw: Raw | None = None) -> Choice | None:
    """The evaluator by which a task learns, `task.reward`; None of tasks without one."""
    if "reward" not in task.found.component.capabilities:
        return None
    return choose_inline("evaluator", getattr(task.config, "reward"), registry, "task.reward", raw)  # noqa: B009


def check_inline(core: Mapping[str, Any], registry: Registry, raw: Raw) -> None:
    """Raise for a component inside a core section that is unknown or has wrong settings."""
    if "name" in core["data"].reader:  # else it depends on each file's suffix
        choose_inline("reader", core["data"].reader, registry, "data.reader", raw)
    if core["data"].target_tokenizer is not None:
        choose_inline("tokenizer", core["data"].target_tokenizer, registry, "data.target_tokenizer", raw)
    choose_inline("step", core["training"].step, registry, "training.step", raw)
    for setting in core["training"].augment:
        choose_inline("augmentation", setting, registry, "training.augment", raw)
    for setting in core["training"].evaluators:
        choose_inline("evaluator", setting, registry, "training.evaluators", raw)
    for setting in core["training"].trackers:
        choose_inline("tracker", setting, registry, "training.trackers", raw)
    for setting in core["evaluation"].evaluators or ():
        choose_inline("evaluator", setting, registry, "evaluation.evaluators", raw)


def choose_inline(
    kind: str, setting: str | Mapping[str, Any], registry: Registry, where: str, raw: Raw | None = None
) -> Choice:
    """A component named inside a section: `"name"`, or a table of `name` and settings.

    Args:
        kind: Of the component.
        setting: The value in the config.
        registry: Where to look.
        where: The key's dotted path, for messages: `evaluation.evaluators`.
        raw: What the setting comes from, for messages.
    """
    raw = raw or Raw()
    table = {"name": setting} if isinstance(setting, str) else dict(setting)
    name = table.pop("name", None)
    if not isinstance(name, str):
        article = "an" if kind[0] in "aeiou" else "a"
        raise ConfigError(f"{raw.where(where)}{where}: {article} {kind} must have a `name`, got {setting!r}")
    found = registry.find(kind, name)
    return Choice(kind, name, _validate(found.config_class(), raw, where, table), found)


def load_config(
    path: str | Path | None,
    registry: Registry,
    *,
    flags: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
) -> RunConfig:
    """Read a file, apply command-line flags (dotted path to value; None is skipped) and then `--set` overrides."""
    raw = read_raw(path)
    for key, value in (flags or {}).items():
        if value is not None:
            raw.set(key, value, "command line")
    apply_overrides(raw, overrides)
    return resolve(raw, registry)


def _validate(schema: type[Config], raw: Raw, path: str, values: Mapping[str, Any] | None = None) -> Any:
    values = raw.values.get(path, {}) if values is None else values
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise explain(error.errors(include_url=False)[0], schema, raw, path) from None


__all__ = [
    "COMPONENT_SECTIONS",
    "CORE_SECTIONS",
    "DEFAULT_NAMES",
    "SECTIONS",
    "Choice",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "RunConfig",
    "TrainingConfig",
    "check_inline",
    "check_sections",
    "choose",
    "choose_inline",
    "core_section",
    "data_section",
    "encoder_of",
    "load_config",
    "resolve",
    "reward_of",
]
