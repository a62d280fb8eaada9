"""Weights of one run as the start of another: pretrain a language model, fine-tune what it has learned."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from lmtool.data.holdout import seen
from lmtool.data.labels import listed
from lmtool.errors import ConfigError
from lmtool.pretrained import ANSWERS
from lmtool.run import Run
from lmtool.tasks import weights_out
from lmtool.tasks.lm import LanguageModelling
from lmtool.tasks.network import LanguageModelNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.api import Task
    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry

    Flat = Mapping[str, jax.Array]

logger = logging.getLogger("lmtool.training")


def starting_point(config: RunConfig, task: Task, registry: Registry, dataset: Dataset) -> Callable[[Any], Any]:
    """From fresh parameters to those that training starts from: as they are, without `model.init_from`.

    Warns if the other run learned from text that the dataset holds out, as far as their records tell.

    Raises:
        ConfigError: if the weights of the other run do not fit.
        DataError: if they are damaged.
    """
    if config.init_from is None:
        return lambda params: params
    run = Run.open(config.init_from, registry)
    if not run.is_finished:
        logger.warning("%s is not finished; training starts from its best model so far", config.init_from)
    _warn_of_seen_text(run, dataset)
    sources = {"tokens": run.language_model, "classes": run.classifier, "texts": run.text_model}
    source: Any = sources[run.predicts]()
    if run.predicts == "tokens" and config.encoder is not None and dataset.has_target_tokenizer:
        raise ConfigError(
            f"model.init_from: {config.init_from} is a language model of the source's tokens, and targets in "
            f"{dataset.path} have a tokenizer of their own",
            hint="leave data.target_tokenizer out",
        )
    if isinstance(task, LanguageModelling):
        _keep_constants(task, source)
    return lambda params: transferred(params, source, str(config.init_from))


def _warn_of_seen_text(run: Run, dataset: Dataset) -> None:
    if (learned := run.learned_dataset()) is None:
        return
    entries = learned.record["splits"]["train"]["sources"]
    for name in ("valid", "test"):
        judged = dataset.record["splits"].get(name, {}).get("sources", ())
        if names := seen(entries, judged):
            logger.warning("%s has learned from %s, of which the %s text here is a part", run.path, listed(names), name)


def transferred(params: Any, source: Any, name: str) -> Any:
    """Fresh parameters of a task with the weights of a trained network in their place.

    The backbone is copied, and the embedding: a table gets the vector that the source reads for each id, however it
    keeps them. The head stays fresh; between two language models all is copied, the output layer included, and so it is
    between two networks from text to text. What a language model has learned is the decoder's part of such a network.

    Args:
        params: `{"params": {"backbone": …, …}}`, of a task.
        source: A trained network: a `NeuralLanguageModel`, or a classifier of the same form.
        name: What the user calls it, for messages.

    Raises:
        ConfigError: names the first weight that does not fit, with its shapes there and here.

    References:
        Dai & Le, "Semi-supervised sequence learning", 2015; Howard & Ruder, "Universal language model fine-tuning for
        text classification", 2018.
    """
    own = flatten_dict(params["params"], sep=".")
    given = flatten_dict(source.params["params"], sep=".")
    answers = ANSWERS in own
    if answers and ANSWERS in given:
        return _merged(own, given, own, name)
    is_tokens = answers or "output_bias" in own or "output_bias_0" in own
    if is_tokens and not _is_language_model(source):
        kinds = "what answers with texts starts from one, or" if answers else "a language model starts"
        raise ConfigError(f"model.init_from: {name} is no language model; {kinds} from one of its kind")
    if is_tokens and not answers:
        return _merged(own, given, given, name)
    wanted = {path: array for path, array in given.items() if path.startswith("backbone.")}
    here = {path: array for path, array in own.items() if path.startswith("backbone.")}
    if "embedding" in own:
        here["embedding"], wanted["embedding"] = own["embedding"], embedding_table(source)
    return _merged(own, wanted, here, name)


def embedding_table(source: Any) -> jax.Array:
    """float32 [V, E]: what a trained network reads for each id."""
    if not _is_language_model(source):
        table: jax.Array = source.params["params"]["embedding"]
        return table
    return weights_out.embedding_table(source.functions.network, source.params)


def _is_language_model(source: Any) -> bool:
    return isinstance(getattr(source.functions, "network", None), LanguageModelNetwork)


def _merged(own: Flat, wanted: Flat, here: Flat, name: str) -> Any:
    """All of `own`, with `wanted` in the place of those that are `here`, which must be the same by name and shape."""
    for path in sorted(wanted.keys() | here.keys()):
        shapes = [tuple(side[path].shape) if path in side else None for side in (wanted, here)]
        if shapes[0] != shapes[1]:
            there, at_home = (str(list(shape)) if shape is not None else "missing" for shape in shapes)
            of_model = path.startswith(("backbone.", "encoder."))
            raise ConfigError(
                f"model.init_from: weight {path} is {there} in {name}, {at_home} here",
                hint=f"leave model.name and its settings out: they are then those of {name}"
                if of_model
                else f"[model] and [task] need the settings of {name}",
            )
    return {"params": unflatten_dict({**own, **{path: jnp.asarray(wanted[path]) for path in here}}, sep=".")}


def _keep_constants(task: LanguageModelling, source: Any) -> None:
    """What an output layer learned of the first text decides what its weights stand for, so it goes with them."""
    if not _is_language_model(source):
        return
    output: Any = task.output
    constants = source.functions.network.output.constants()
    if names := output.constants().keys() & constants.keys():
        task.use_output(replace(output, **{name: constants[name] for name in names}))


__all__ = ["embedding_table", "starting_point", "transferred"]
