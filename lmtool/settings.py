"""The settings of the core's own sections, and the base class of every component's settings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LOWER_IS_BETTER = frozenset({"loss", "token_perplexity"})
"""Figures of validation that `training.monitor` may name; of the others the highest is best."""


class Config(BaseModel):
    """Base of every component's settings: frozen, strict, unknown keys forbidden.

    Give each field a default where there is a sensible one and a `Field(description=…)`: it becomes the docs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Settings that came after people had made datasets or runs with the others: see `identity`."""

    FILES: ClassVar[frozenset[str]] = frozenset()
    RUNS: ClassVar[frozenset[str]] = frozenset()
    """Settings that name a file, or a run whose model is used, or several: what they hold counts, so that a run notes
    its hash."""

    def identity(self) -> dict[str, Any]:
        """The settings as they enter keys of what is made with them.

        One of `LATER` is left out where it has its default, so that what was made before it came keeps its key.
        """
        return {k: v for k, v in self.model_dump(mode="json").items() if not self.is_later_default(k)}

    def is_later_default(self, name: str) -> bool:
        """Whether a setting is one of `LATER` that has its default."""
        return name in self.LATER and getattr(self, name) == type(self).model_fields[name].default


class ScheduleConfig(Config):
    """The learning rate over the steps: the base of optimizers' settings; see `lmtool.training.schedules`."""

    learning_rate: float = Field(gt=0, description="η, at its highest")
    schedule: Literal["constant", "cosine", "linear", "inverse-sqrt", "wsd", "plateau"] = Field(
        "constant", description="how it falls after the warm-up, until the last step"
    )
    warmup_steps: int = Field(0, ge=0, description="steps over which it rises linearly from zero")
    end_factor: float = Field(
        0.0, ge=0, le=1, description="its last value as a part of the highest; plateau: the least"
    )
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd: the last part of all steps, in which it falls")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="plateau: what it is multiplied by")
    plateau_patience: int = Field(
        1, ge=1, description="plateau: after so many validations in a row without a better figure (training.monitor)"
    )


class DataConfig(Config):
    """Where the text comes from: a dataset folder (`path`), or raw sources that `train` tokenizes itself, once."""

    path: str | None = Field(None, description="a dataset folder made by `lmtool tokenize`")
    train: list[str] = Field([], description="sources to learn from: files, globs, folders, `builtin:pydoc`")
    valid: list[str] = Field([], description="sources that decide when to stop and which checkpoint is best")
    test: list[str] = Field([], description="sources that only `eval` reads")
    reader: dict[str, Any] = Field({}, description="settings of the reader, and its `name`; by file suffix if left out")
    label: str | None = Field(None, min_length=1, description="the field of labels; classification takes `label`")
    target: str | list[str] | None = Field(
        None,
        min_length=1,
        description="the field of a document's answers; of several names the first that it has",
    )
    target_tokenizer: str | dict[str, Any] | None = Field(
        None, description="`name` and settings of a tokenizer of targets alone; that of the text if left out"
    )
    valid_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of the training documents held out to validate on"
    )

    @property
    def target_fields(self) -> tuple[str, ...]:
        """The names in `target`."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target or ())


class TrainingConfig(Config):
    """How a model that takes steps is trained. What one that is fitted at once has no use for must have its default."""

    LATER = frozenset({"evaluators"})
    USED_BY_FITTED: ClassVar[frozenset[str]] = frozenset({"seed", "batch_size", "monitor"})
    """The seed where it has one, how much of the validation text is read at once, what `lmtool tune` compares by."""

    seed: int = Field(
        0, ge=0, description="decides initial weights, dropout and the order of batches; given, also `model.seed`"
    )
    batch_size: int = Field(20, ge=1, description="B, streams read side by side")
    bptt: int = Field(35, ge=1, description="T, time steps per window of truncated back-propagation")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of activations and matmuls in training")
    epochs: int = Field(10, ge=1, description="passes over the training text")
    max_steps: int | None = Field(None, ge=1, description="stop after so many steps")
    max_minutes: float | None = Field(None, gt=0, description="stop after so many minutes of training")
    max_grad_norm: float | None = Field(0.25, gt=0, description="scale gradients down to this global norm")
    micro_batches: int = Field(1, ge=1, description="parts of a batch, processed one by one to save memory; divides B")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="d of a moving average of weights, to be shipped")
    l1: float = Field(0.0, ge=0, description="λ₁: adds λ₁ Σ|θ| to the loss; biases are left alone")
    l2: float = Field(0.0, ge=0, description="λ₂: adds ½ λ₂ Σθ² to the loss; the optimizer's weight_decay is decoupled")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate from each layer to the one below, the head's being 1"
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        description="epochs until the next layer below is trained, too, from the head; all at once if left out",
    )
    freeze: list[str] = Field([], description="parameters that stay as they are: embedding, backbone.layer_0, …")
    rates: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="factor of the learning rate of parameters, by the beginnings of their names; 0 freezes"
    )
    augment: list[str | dict[str, Any]] = Field(
        [], description="changes to each training document, anew each epoch, one after the other"
    )
    eval_every: int | None = Field(None, ge=1, description="steps between validations; an epoch if left out")
    log_every: int = Field(50, ge=1, description="steps between lines in metrics.jsonl")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints to resume from")
    monitor: str = Field(
        "loss",
        description="validation figure that picks the best model: loss; accuracy, of classes; one of evaluators; "
        "reward, of what learns from rewards, and then the default",
    )
    evaluators: list[str | dict[str, Any]] = Field(
        [], description="whose figures of greedy answers validation also has, of texts: names, or tables with settings"
    )
    patience: int | None = Field(None, ge=1, description="stop after so many validations without improvement")
    steps_per_dispatch: int = Field(1, ge=1, description="steps handed to the device at once; a GPU's small models")
    step: dict[str, Any] = Field({"name": "descent"}, description="the compiled step and its settings")
    trackers: list[str | dict[str, Any]] = Field([], description="where metrics go besides metrics.jsonl")

    @model_validator(mode="after")
    def _check_micro_batches(self) -> TrainingConfig:
        if self.batch_size % self.micro_batches:
            raise ValueError(f"micro_batches must divide batch_size (={self.batch_size}), got {self.micro_batches}")
        return self


class DecodingConfig(Config):
    """How a text model's answers are searched for, or drawn: `[evaluation.decoding]`, and options of `lmtool predict`.

    References:
        Wu et al., "Google's neural machine translation system", 2016 (length and coverage penalties, equation 14).
        Holtzman et al., "The curious case of neural text degeneration", 2020 (top-p).
    """

    beam: int = Field(5, ge=1, description="hypotheses that are kept at each step; 1 is greedy search")
    n_best: int = Field(1, ge=1, description="answers to each document, the best first; at most `beam`, of samples any")
    length_penalty: float = Field(
        1.0, ge=0, description="α: a score is the log-probability over ((5 + length) / 6) to the power α"
    )
    coverage_penalty: float = Field(0.0, ge=0, description="β: favours answers that attend to all of the document")
    sample: bool = Field(False, description="draw answers from the model's probabilities instead of searching")
    temperature: float = Field(1.0, gt=0, description="sample: logits are divided by it")
    top_k: int | None = Field(None, ge=1, description="sample: from so many of the likeliest tokens alone")
    top_p: float | None = Field(None, gt=0, le=1, description="sample: from the likeliest tokens with this share alone")
    min_length: int = Field(0, ge=0, description="tokens before an answer may end")
    max_length: int | None = Field(
        None, ge=1, description="tokens after which it is cut off; that of the longest training target if left out"
    )
    no_repeat_ngram: int = Field(0, ge=0, description="no sequence of so many tokens twice in an answer; 0 allows all")
    replace_unknown: bool = Field(
        False, description="an unknown word becomes the word of the document that is attended to most"
    )

    @model_validator(mode="after")
    def _check_together(self) -> DecodingConfig:
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"min_length must be at most max_length (={self.max_length}), got {self.min_length}")
        if not self.sample and self.n_best > self.beam:
            raise ValueError(f"n_best must be at most beam (={self.beam}), got {self.n_best}")
        for name in ("temperature", "top_k", "top_p"):
            if not self.sample and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no use with sample = false")
        return self


class EvaluationConfig(Config):
    """What `lmtool eval` computes, and how."""

    evaluators: list[str | dict[str, Any]] | None = Field(
        None,
        min_length=1,
        description="names, or tables with settings; perplexity if left out, of classes classification and log-loss, "
        "of texts bleu and chrf",
    )
    batch_size: int = Field(16, ge=1, description="contiguous pieces of the text that are read side by side")
    bptt: int = Field(128, ge=1, description="time steps per window; changes speed, not results")
    decoding: DecodingConfig = Field(
        default_factory=lambda: DecodingConfig.model_validate({}),
        description="how texts are answered: a table of its own",
    )


__all__ = [
    "LOWER_IS_BETTER",
    "Config",
    "DataConfig",
    "DecodingConfig",
    "EvaluationConfig",
    "ScheduleConfig",
    "TrainingConfig",
]
