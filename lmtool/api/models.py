"""The contracts of trained models, of models that are fitted, and of backbones."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np

    from lmtool.api.text import Tokenizer
    from lmtool.array_types import Embedded, Hidden, Mask
    from lmtool.data.dataset import Dataset
    from lmtool.signals import StopRequest


class LanguageModel(Protocol):
    """A trained language model, as `eval`, `score` and `generate` see it: counted or neural, nobody can tell.

    A state summarises everything read so far, the last token included, for each of B independent streams. It is an
    opaque value that the caller hands back; it is never changed in place. A fresh state stands before the first line.
    Threads may call any method but `save` at once.
    """

    vocab_size: int
    stateful: bool
    """True if what was read in earlier lines changes predictions; False if each line starts anew.

    A model that goes on learning from what it reads, as one with a cache does, also has `adapts = True`: evaluations
    mark its figures.
    """

    def initial_state(self, batch_size: int) -> Any:
        """The state before any token, for `batch_size` streams."""
        ...

    def score(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Log-probability, in nats, of each token given all before it, and the state after the last.

        Args:
            ids: int [B, T]; T may differ from call to call.
            state: For B streams.

        Returns:
            float [B, T], and the new state.
        """
        ...

    def next_log_probs(self, state: Any) -> np.ndarray:
        """float [B, V]: the distribution of the next token, in nats; its exponentials sum to one."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder: arrays as `.npz`/`.safetensors`, the rest as JSON. Never a pickle."""
        ...


class ExportableModel(LanguageModel, Protocol):
    """A trained model that other programs can read, in some form of theirs: what `lmtool export` asks for."""

    export_formats: tuple[str, ...]
    """Names for `--to`."""

    def export(self, format: str, file: IO[bytes], tokenizer: Tokenizer) -> None:
        """Write the whole model, the tokenizer's vocabulary included where the format has a place for it.

        Args:
            format: One of `export_formats`.
            file: Takes bytes; cannot be sought in. The caller compresses them and sees to it that the file appears
                whole or not at all.
            tokenizer: Whose ids the model has.
        """
        ...


class HiddenStateModel(LanguageModel, Protocol):
    """What a neural language model may offer besides: its hidden states, which a neural cache compares."""

    def score_hidden(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """As `score`, with float [B, T, H] between: what the output layer read to predict each token.

        So it depends on the tokens before, not on the one that it stands for.
        """
        ...


class ParametricModel(Protocol):
    """A model whose weights can be exchanged: what is asked of one that has a posterior."""

    params: Any
    """A pytree of float32 arrays; never changed in place."""

    def with_params(self, params: Any) -> Any:
        """The same model with other weights, for the same states; costs nothing and compiles nothing."""
        ...


class AdaptableModel(ParametricModel, LanguageModel, Protocol):
    """What a neural language model may offer besides: weights that can be changed, and which way to change them."""

    def with_params(self, params: Any) -> LanguageModel:
        """See `ParametricModel`."""
        ...

    def score_and_gradient(self, params: Any, ids: Any, state: Any) -> tuple[Any, Any, Any]:
        """As `score` with these weights, and the gradient of the mean negative log-likelihood over `ids`, in nats.

        A pure function of its arguments that JAX can trace: it may be part of a compiled one.

        Args:
            params: As `params`.
            ids: int32 [B, T], at least one step and not very many: all are read at once.
            state: For B streams; a constant, through which no gradient flows.

        Returns:
            float32 [B, T], a pytree like `params`, and the new state.
        """
        ...


class FittedModel(Protocol):
    """A model that is estimated from the whole data set at once instead of taking steps. Made by `target(config)`."""

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> LanguageModel:
        """Estimate from `dataset.split("train")` alone; other splits only for what the config says (say, weights).

        Args:
            dataset: See `lmtool.data.dataset`.
            progress: Called with a phase's name and the fraction of the whole work done, 0 to 1.
            scratch: An empty folder where the run is kept, for what is too large for memory. The model may go on using
                files in it until the run is closed; then it is removed.

        Returns:
            The model. What else is worth knowing of it may stand in an attribute `facts`, a dict of JSON values with
            names of its own: the run notes it beside its figures.
        """
        ...

    def load(self, folder: Path) -> LanguageModel:
        """What `LanguageModel.save` wrote. Raises DataError if it is damaged."""
        ...


class ImportedModel(FittedModel, Protocol):
    """A fitted model that is read from a file, its setting `file`; capability `imported`.

    `fit` may be given a dataset without text: only its tokenizer counts. The file's sha256 is kept in the run.
    """

    def vocabulary(self) -> Iterable[str]:
        """Every word of the file. Where there is no dataset, a tokenizer learns these, each as a line."""
        ...


class ResumableModel(Protocol):
    """A fitted model, of whatever kind, whose `fit` goes on where it was interrupted; capability `resumable`."""

    def fit(
        self,
        dataset: Dataset,
        *,
        progress: Callable[[str, float], None],
        scratch: Path,
        stop: StopRequest | None = None,
    ) -> Any:
        """As `FittedModel.fit`, with the same result whether it was interrupted or not.

        Args:
            dataset: As there.
            progress: As there.
            scratch: Empty, or as an interrupted call left it: with the same dataset, settings and version of the
                component. It is kept until there is a model.
            stop: Tells of signals, to work that defers them; others end by an exception anywhere. None asks nothing.

        Raises:
            Interrupted: if a signal asked to stop.
        """
        ...


class Backbone(Protocol):
    """Embedded tokens to hidden states: a `flax.linen.Module` made by `target(config)`; tasks add embedding and head.

    Position t sees positions up to t only, and two windows with the carry handed on equal one long window. An encoder,
    which reads in both directions, has a property `causal` that is False; the `lm` task refuses it.

    What it `sow`s in the collection `penalties` is added to the training loss, for the gradient's sake.
    """

    @property
    def features(self) -> int:
        """H, the size of the output."""
        ...

    def initial_carry(self, batch_size: int, input_size: int) -> Any:
        """A pytree of arrays [B, …] that stands for "nothing read yet"; a pure function of its arguments."""
        ...

    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        """One window.

        Args:
            x: [B, T, E], float32, or bfloat16 in training with that precision.
            mask: [B, T], False at padding, which comes after the last real position of a row and must change neither
                the other outputs nor the carry; None if there is no padding.
            carry: From `initial_carry` or the previous window.
            train: True for dropout and its like (`self.make_rng("dropout")`).

        Returns:
            [B, T, H] in x's type, and the carry after the last unmasked position of each row, float32.
        """
        ...
