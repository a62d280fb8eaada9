"""Settings of the `reinforce` and `reinforce-lm` tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from lmtool.config import Config
from lmtool.errors import ConfigError
from lmtool.tasks.config import LMConfig
from lmtool.tasks.seq2seq.config import Seq2SeqConfig

if TYPE_CHECKING:
    from lmtool.api import TextEvaluator

Baseline = Literal["self-critical", "leave-one-out", "mean", "none"]
REWARD = "an evaluator of texts, by name or as a table with settings; what it judges a text to be"


class RewardConfig(Config):
    """What learning from rewards asks for, whatever the network is."""

    reward: str | dict[str, Any] = Field(description=REWARD)
    objective: Literal["reinforce", "minimum-risk"] = Field(
        "reinforce", description="policy gradient (Williams 1992), or expected risk over the samples (Shen et al. 2016)"
    )
    samples: int = Field(5, ge=1, description="K, texts drawn for each document or prompt in a step")
    baseline: Baseline = Field(
        "leave-one-out",
        description="reinforce: what a reward is compared with: that of the likeliest text, the mean of a document's "
        "or prompt's other samples, the mean of a batch's other samples, nothing",
    )
    normalize: Literal["sequence", "token"] = Field(
        "sequence", description="what the loss is a mean over: samples, or all their tokens"
    )
    sharpness: float = Field(
        0.005, gt=0, description="minimum-risk: power to which the probabilities of the samples are raised"
    )
    mix: float = Field(
        0.0, ge=0, le=1, description="weight of the cross-entropy of seq2seq, or of lm; 1 - mix is that of rewards"
    )
    kl: float = Field(0.0, ge=0, description="weight of the divergence from the starting model, in nats, of each token")
    kl_estimator: Literal["exact", "k3"] = Field(
        "exact", description="divergence of a token: over the whole vocabulary, or from the token that was drawn"
    )
    entropy: float = Field(0.0, ge=0, description="weight of the entropy, in nats, of each token: a bonus")
    temperature: float = Field(1.0, gt=0, description="logits are divided by it in all that is said here of the model")

    @property
    def needs_start(self) -> bool:
        """Whether the divergence from the starting model counts."""
        return self.kl > 0 and self.mix < 1

    @model_validator(mode="after")
    def _check_objective(self) -> Self:
        if self.samples == 1 and self.objective == "minimum-risk":
            raise ValueError('samples must be at least 2 with objective = "minimum-risk": a risk is shared among them')
        if self.samples == 1 and self.baseline == "leave-one-out" and self.objective == "reinforce":
            raise ValueError('samples must be at least 2 with baseline = "leave-one-out": others must be left')
        return self

    @model_validator(mode="after")
    def _check_use(self) -> Self:
        """What is set beside a setting that leaves it without effect is a misunderstanding."""
        if self.objective == "minimum-risk":
            self._refuse('objective = "minimum-risk"', "baseline", "kl", "entropy")
        else:
            self._refuse('objective = "reinforce"', "sharpness")
        if not self.kl:
            self._refuse("kl = 0", "kl_estimator")
        return self

    def _refuse(self, beside: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no use with {beside}")


class ReinforceConfig(RewardConfig, Seq2SeqConfig):
    """`[task] name = "reinforce"`: what `model.init_from` learned from text to text goes on learning, from rewards.

    All settings of `seq2seq` are settings here, too; those left out are those of that run, but for
    `scheduled_sampling_steps`, which it is past.
    """

    reward: str | dict[str, Any] = Field("bleu", description=REWARD)
    max_length: int | None = Field(
        None, ge=1, description="tokens after which a sample is cut off; twice its batch's targets if left out"
    )


class ReinforceLMConfig(RewardConfig, LMConfig):
    """`[task] name = "reinforce-lm"`: the language model that is `model.init_from` goes on learning, from rewards.

    All settings of `lm` are settings here, too; those left out are those of that run.
    """

    prompt_tokens: int = Field(
        0, ge=0, description="tokens of a training line that a sample goes on from; 0: it is written from nothing"
    )
    max_length: int = Field(50, ge=1, description="tokens after which a sample is cut off, those of its prompt counted")

    @model_validator(mode="after")
    def _check_prompts(self) -> ReinforceLMConfig:
        if self.prompt_tokens >= self.max_length:
            raise ValueError(
                f"max_length (={self.max_length}) must be above prompt_tokens (={self.prompt_tokens}), a part of it"
            )
        return self

    def check_reward(self, evaluator: TextEvaluator) -> None:
        """Raise ConfigError if texts are written from nothing, and this judges none without references."""
        if self.prompt_tokens or getattr(evaluator, "judges_alone", False):
            return
        name = self.reward if isinstance(self.reward, str) else self.reward.get("name")
        raise ConfigError(
            f"task.reward '{name}' judges a text beside references, and one that is written from nothing has none",
            hint="set task.prompt_tokens: references are then the lines that texts go on from; or name an evaluator "
            "that judges a text alone",
        )


__all__ = ["Baseline", "ReinforceConfig", "ReinforceLMConfig", "RewardConfig"]
