"""Settings of the `seq2seq` task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from lmtool.config import Config

EMBEDDING_SIZE = 256
"""E where nothing says another."""


class Seq2SeqConfig(Config):
    """`[task] name = "seq2seq"`; `[model]` is the decoder's backbone, which must be causal."""

    LATER = frozenset({"scheduled_sampling", "scheduled_sampling_steps"})

    encoder: dict[str, Any] | None = Field(
        None,
        description="`name` of a model that reads the source, and its settings; that of [model], in both directions "
        "where it can, if left out",
    )
    embedding_size: int | None = Field(None, ge=1, description="E; 256 if left out, or that of model.init_from")
    source_embedding_size: int | None = Field(None, ge=1, description="of source tokens; E if left out")
    source_embedding_init: float = Field(
        0.1,
        gt=0,
        description="the source's own embedding starts uniformly within ± this; 1 where little text is learned",
    )
    tied: bool = Field(True, description="the output embedding is the embedding of the target's tokens")
    shared_embedding: bool = Field(False, description="source and target have one embedding; needs one tokenizer")
    positions: int = Field(
        0,
        ge=0,
        description="places that have an embedding, added to that of the token; later ones share the last",
    )
    question: bool = Field(
        False, description="the first line is a question: tokens below that stand in it are marked (Chen 2017)"
    )
    attention: Literal["dot", "general", "additive", "none"] = Field(
        "general", description="how the decoder's state is compared with the encoder's (Luong 2015, Bahdanau 2015)"
    )
    attention_skip: bool = Field(
        False, description="attention also compares by the embedding of the target's token and also gives the source's"
    )
    attention_size: int | None = Field(
        None, ge=1, description="units of the layer above attention; the decoder's output size if left out"
    )
    hops: int = Field(1, ge=1, description="times that the decoder looks before it answers, each from where it was")
    input_feeding: bool = Field(
        False, description="the decoder also reads what came out of the step before; slower: steps wait for each other"
    )
    pointer: bool = Field(
        False, description="a token may also be copied from where attention looks (See 2017); needs one tokenizer"
    )
    coverage: bool = Field(False, description="additive attention knows where it has looked before (See 2017)")
    coverage_weight: float = Field(1.0, ge=0, description="coverage: how much looking twice costs in training")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on embedded inputs and before the vocabulary")
    input_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the embedded inputs, if another")
    output_dropout: float | None = Field(None, ge=0, lt=1, description="rate before the vocabulary, if another")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="rate at which tokens are read as zeros in a batch")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a text (variational)")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of a target that all tokens divide evenly")
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a target's tokens in whose place the decoder reads, in training, what it would have said "
        "(Bengio 2015); slower: each batch is read twice",
    )
    scheduled_sampling_steps: int = Field(
        0, ge=0, description="steps over which the share of scheduled_sampling rises from zero"
    )
    max_source_length: int = Field(400, ge=1, description="tokens that are read of a document")
    keep: Literal["head", "tail", "both"] = Field("head", description="what is read of a longer one; both: half each")
    line_ends: bool = Field(True, description="read the ends of a document's lines as tokens")
    max_target_length: int = Field(200, ge=1, description="tokens that are learned of a target, without its end")
    batch_tokens: int | None = Field(
        None, ge=1, description="target positions of a batch, in the place of training.batch_size pairs"
    )
    max_padding: float = Field(
        0.1, ge=0, lt=1, description="share of batches that may be padding; less of it takes more compiled shapes"
    )

    @property
    def embedding_sizes(self) -> tuple[int, int]:
        """Of target and source."""
        target = self.embedding_size or EMBEDDING_SIZE
        return target, target if self.shared_embedding else self.source_embedding_size or target

    @model_validator(mode="after")
    def _check_attention(self) -> Seq2SeqConfig:
        if self.coverage and self.attention != "additive":
            raise ValueError(f'coverage needs attention = "additive", not "{self.attention}"')
        if self.attention == "none":
            used = {"pointer": self.pointer, "hops": self.hops > 1, "attention_skip": self.attention_skip}
            for name in (name for name, is_used in used.items() if is_used):
                raise ValueError(f'{name} has no use with attention = "none"')
        if self.coverage_weight != 1.0 and not self.coverage:
            raise ValueError("coverage_weight has no use with coverage = false")
        if self.label_smoothing and self.pointer:
            raise ValueError("label_smoothing has no use with pointer = true: copies have no logits to smooth")
        return self

    @model_validator(mode="after")
    def _check_sampling(self) -> Seq2SeqConfig:
        if self.scheduled_sampling_steps and not self.scheduled_sampling:
            raise ValueError("scheduled_sampling_steps has no use with scheduled_sampling = 0")
        return self

    @model_validator(mode="after")
    def _check_source(self) -> Seq2SeqConfig:
        for name in ("source_embedding_size", "source_embedding_init"):
            marks = self.question and name == "source_embedding_init"
            if self.shared_embedding and not marks and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no use with shared_embedding = true")
        if self.question and not self.line_ends:
            raise ValueError("question = true needs line_ends = true: a question is the first line")
        if self.question and self.keep == "tail":
            raise ValueError('question = true needs keep = "head" or "both": a question is the first line')
        return self


__all__ = ["EMBEDDING_SIZE", "Seq2SeqConfig"]
