"""The `seq2seq` task: which pairs come together, what they cost, what is learned of them, and what a run keeps."""

from __future__ import annotations

import tracemalloc
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from stoppable import trained
from text_pairs import WORDS, dataset_of, reversed_words

from lmtool.api import Document
from lmtool.config import TrainingConfig
from lmtool.data.dataset import Dataset
from lmtool.errors import ConfigError, DataError, Interrupted, UsageError
from lmtool.evaluation.answers import AnswerText
from lmtool.incoming import Entry
from lmtool.prediction_texts import Answering
from lmtool.run import Run
from lmtool.settings import DecodingConfig
from lmtool.tasks.classify.documents import Cutter
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling
from lmtool.tasks.seq2seq import predictor
from lmtool.tasks.seq2seq.batches import Batches, Rows, make_buckets
from lmtool.tasks.seq2seq.config import Seq2SeqConfig
from lmtool.tasks.seq2seq.pairs import Pairs
from lmtool.tasks.seq2seq.predictor import evenly, rows_of, slots_of, width_of
from lmtool.tasks.seq2seq.task import Seq2Seq
from lmtool.training.transfer import transferred
from lmtool.training.validation import AnswerValidation
from lmtool_evaluators.answers import Answers
from lmtool_evaluators.config import AnswersConfig
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

KEY = jax.random.key(0)
GREEDY = DecodingConfig(beam=1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    records = {"train": reversed_words(20), "valid": reversed_words(6, seed=1)}
    return dataset_of(tmp_path_factory.mktemp("pairs"), records)


@pytest.fixture(scope="module")
def two_tokenizers(tmp_path_factory):
    records = {"train": reversed_words(20)}
    return dataset_of(tmp_path_factory.mktemp("two"), records, target_tokenizer={"name": "char"})


def make_task(dataset, *, training=None, backbone=None, encoder=None, size=8, **task):
    return Seq2Seq(
        Seq2SeqConfig.model_validate({"embedding_size": size, "dropout": 0.0, **task}),
        dataset=dataset,
        backbone=backbone or LSTM(LSTMConfig(hidden_size=size)),
        training=TrainingConfig.model_validate({"batch_size": 4, **(training or {})}),
        encoder=encoder or LSTM(LSTMConfig(hidden_size=size, bidirectional=True)),
    )


def documents_of(split):
    return list(split.documents()), list(split.targets())


# Batches --------------------------------------------------------------------------------------------------------------


def test_each_pair_comes_once_an_epoch_with_the_end_of_its_target(pairs):
    task = make_task(pairs)
    eos = pairs.eos_id

    for epoch in range(2):
        found = []
        for step in range(task.steps_per_epoch):
            batch = task.batch(epoch * task.steps_per_epoch + step)
            for row in range(len(batch["source"])):
                source, target = (batch[ids][row][batch[mask][row]].tolist()
                                  for ids, mask in [("source", "source_mask"), ("targets", "mask")])  # fmt: skip
                found += [(source, target)] if target else []
        documents, targets = documents_of(pairs.split("train"))
        wanted = [(one.ids.tolist(), [*target.tolist(), eos]) for one, target in zip(documents, targets, strict=True)]
        assert sorted(found) == sorted(wanted)


def test_a_batch_is_a_pure_function_of_seed_and_step(pairs):
    one, other, seeded = make_task(pairs), make_task(pairs), make_task(pairs, training={"seed": 1})
    steps = range(one.steps_per_epoch)

    other.batch(3)

    for step in steps:
        for name, array in one.batch(step).items():
            np.testing.assert_array_equal(array, other.batch(step)[name])
    assert any(not np.array_equal(one.batch(step)["source"], seeded.batch(step)["source"]) for step in steps)


def test_pairs_of_like_lengths_share_a_batch_and_batch_tokens_bounds_its_positions():
    rng = np.random.default_rng(0)
    targets, sources = rng.integers(1, 60, 5000), rng.integers(1, 90, 5000)

    buckets = make_buckets(targets, sources, Rows(20, 512, unit=4), max_padding=0.2)

    assert sorted(np.concatenate([one.members for one in buckets]).tolist()) == list(range(5000))
    positions = sum(one.target_width * len(one.members) for one in buckets)
    assert 1 - targets.sum() / positions <= 0.2
    for one in buckets:
        assert targets[one.members].max() <= one.target_width
        assert sources[one.members].max() <= one.source_width
        assert one.rows % 4 == 0
        assert one.rows * one.target_width <= 512


def test_a_bucket_of_few_pairs_has_small_batches():
    assert Rows(64, None, unit=4).of(10, count=1000) == 64
    assert Rows(64, None, unit=4).of(10, count=5) == 8
    assert Rows(64, 100, unit=4).of(10, count=1000) == 8
    assert Rows(64, 10, unit=4).of(100, count=1000) == 4


def test_of_long_texts_a_part_is_read_and_a_target_that_is_cut_has_no_end(pairs):
    split, eos = pairs.split("train"), pairs.eos_id
    cut = Pairs(split, Cutter(2, "tail", True, eos), eos, max_target_length=2)

    number = int(np.argmax(split.target_lengths))  # five words
    document, target = split.document(number), split.target(number)

    assert cut.source(number).tolist() == document.ids[-2:].tolist()
    assert cut.target(number).tolist() == target[:3].tolist()
    short = int(np.argmin(split.target_lengths))  # one word
    assert cut.target(short).tolist() == [*split.target(short).tolist(), eos]


def test_pairs_that_are_too_many_to_keep_are_read_each_time(pairs, monkeypatch):
    split, cutter = pairs.split("train"), Cutter(400, "head", True, pairs.eos_id)
    kept = Pairs(split, cutter, pairs.eos_id, 200)
    monkeypatch.setattr("lmtool.tasks.seq2seq.pairs.KEPT", 0)
    read = Pairs(split, cutter, pairs.eos_id, 200)

    rows = Rows(4, None, unit=4)
    one, other = (Batches(each, rows, pad_id=0, seed=0, max_padding=0.1) for each in (kept, read))
    for name, array in one.batch(1).items():
        np.testing.assert_array_equal(array, other.batch(1)[name])


def test_kept_pairs_take_four_bytes_an_id_however_short_they_are(tmp_path):
    split = dataset_of(tmp_path, {"train": reversed_words(3000)}).split("train")
    cutter = Cutter(400, "head", True, 0)
    Pairs(split, cutter, 0, 200)  # what is mapped of the files, is now

    tracemalloc.start()
    pairs = Pairs(split, cutter, 0, 200)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    ids = int(pairs.source_lengths.sum() + pairs.target_lengths.sum())
    # a length and an end of each source and target, eight bytes each
    assert size < 4 * ids + 4 * 8 * pairs.count + 20_000


# Loss -----------------------------------------------------------------------------------------------------------------


def loss_of(task, params):
    """Of the first batch, and how many targets it has."""
    loss, (_, num_targets) = jax.jit(task.loss)(params, (), task.batch(0), KEY)
    return float(loss), int(num_targets)


@pytest.mark.parametrize("pointer", [False, True])
def test_the_loss_is_in_nats_per_token_ends_included(pairs, pointer):
    task = make_task(pairs, pointer=pointer)
    params = jax.jit(task.init)(KEY)
    batch = task.batch(0)

    loss, num_targets = loss_of(task, params)

    rows = [row for row in range(4) if batch["mask"][row].any()]
    documents = [Document(batch["source"][row][batch["source_mask"][row]], "") for row in rows]
    targets = [batch["targets"][row][batch["mask"][row]][:-1] for row in rows]  # the model itself adds the end
    log_probs = task.predictor(params).target_log_probs(documents, targets)
    assert num_targets == sum(len(target) + 1 for target in targets)
    assert loss == pytest.approx(-sum(one.sum() for one in log_probs) / num_targets, rel=1e-5)


def test_a_network_that_knows_nothing_gives_every_token_the_same(pairs):
    plain, pointing = make_task(pairs), make_task(pairs, pointer=True)
    zeros = [jax.tree.map(jnp.zeros_like, jax.jit(task.init)(KEY)) for task in (plain, pointing)]
    batch = plain.batch(0)

    assert loss_of(plain, zeros[0])[0] == pytest.approx(np.log(pairs.vocab_size), rel=1e-5)
    # one half by the vocabulary, the other by attention, which is the same for all places of the source
    wanted = []
    for row in range(4):
        source = batch["source"][row][batch["source_mask"][row]]
        targets = batch["targets"][row][batch["mask"][row]]
        copies = np.array([(source == token).sum() for token in targets])
        wanted += np.log(0.5 / pairs.vocab_size + 0.5 * copies / len(source)).tolist()
    assert loss_of(pointing, zeros[1])[0] == pytest.approx(-np.mean(wanted), rel=1e-5)


def test_smoothing_is_in_the_gradient_not_in_the_loss(pairs):
    plain, smoothed = make_task(pairs), make_task(pairs, label_smoothing=0.2)
    zeros = jax.tree.map(jnp.zeros_like, jax.jit(plain.init)(KEY))

    def bias_gradient(task):
        found = jax.jit(jax.value_and_grad(lambda params: task.loss(params, (), task.batch(0), KEY)[0]))(zeros)
        return found[0], found[1]["params"]["output_bias"]

    (loss, gradient), (same, less) = bias_gradient(plain), bias_gradient(smoothed)

    # where all tokens are equally likely: 1/V less a share s of the targets, or less 0.8 s + 0.2/V
    assert float(same) == pytest.approx(float(loss))
    np.testing.assert_allclose(less, 0.8 * np.asarray(gradient), atol=1e-6)


def test_coverage_costs_attention_that_is_paid_twice(pairs):
    coverage = {"attention": "additive", "coverage": True}
    tasks = [make_task(pairs, **coverage, coverage_weight=weight) for weight in (0.0, 1.0)]
    params = jax.jit(tasks[0].init)(KEY)

    (free, free_grad), (same, grad) = (
        jax.jit(jax.value_and_grad(lambda p, task=task: task.loss(p, (), task.batch(0), KEY)[0]))(params)
        for task in tasks
    )

    assert float(free) == float(same)
    vectors = [one["params"]["attention_0"]["coverage_vector"] for one in (free_grad, grad)]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-6


class Sowing(nn.Module):
    """A backbone that asks for small states."""

    features: int = 8

    def initial_carry(self, batch_size, input_size):
        return jnp.zeros((batch_size, self.features))

    @nn.compact
    def __call__(self, x, mask, carry, *, train):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        h = carry[:, None] + jnp.cumsum(x @ kernel, axis=1)
        if train:
            self.sow("penalties", "size", 100 * jnp.mean(jnp.square(h)))
        return h, h[:, -1]


@pytest.mark.parametrize("fed", [False, True])
def test_what_a_backbone_adds_is_in_the_gradient_not_in_the_loss(pairs, fed):
    task = make_task(pairs, backbone=Sowing(), input_feeding=fed)
    params = jax.jit(task.init)(KEY)

    loss, gradient = jax.jit(jax.value_and_grad(lambda params: task.loss(params, (), task.batch(0), KEY)[0]))(params)

    less = jax.tree.map(lambda leaf, by: leaf - 1e-4 * by, params["params"]["backbone"], gradient["params"]["backbone"])
    batch = task.batch(0)

    def size(backbone):
        changed = {"params": {**params["params"], "backbone": backbone}}
        given = (changed, batch["source"], batch["source_mask"], batch["targets"])
        sown = task.network.apply(*given, train=True, mutable=["penalties"])[1]
        return float(np.mean(jax.tree.leaves(sown)[0]))

    assert loss == pytest.approx(np.log(pairs.vocab_size), rel=0.05)
    assert size(less) < size(params["params"]["backbone"])


def test_what_does_not_go_together_is_said(pairs, two_tokenizers):
    with pytest.raises(ValueError, match='coverage needs attention = "additive", not "general"'):
        Seq2SeqConfig.model_validate({"coverage": True})
    for name in ("pointer", "shared_embedding"):
        with pytest.raises(ConfigError, match=rf"task\.{name} needs source and target to have one tokenizer"):
            make_task(two_tokenizers, **{name: True})
    with pytest.raises(ConfigError, match="a decoder must not see the tokens that it predicts"):
        make_task(pairs, backbone=LSTM(LSTMConfig(bidirectional=True)))
    with pytest.raises(ConfigError, match="the decoder has 8 units, the encoder 16"):
        make_task(pairs, attention="dot")
    one_way = LSTM(LSTMConfig(hidden_size=8))
    with pytest.raises(ConfigError, match=r"2 hops needs what one hop gives, 4 units, .* encoder's states, 8"):
        make_task(pairs, attention="dot", hops=2, attention_size=4, encoder=one_way)
    with pytest.raises(ConfigError, match="those of the source have 8 and 16 units"):
        make_task(pairs, attention_skip=True)
    with pytest.raises(ValueError, match='attention_skip has no use with attention = "none"'):
        Seq2SeqConfig.model_validate({"attention": "none", "attention_skip": True})
    with pytest.raises(ValueError, match="question = true needs line_ends = true"):
        Seq2SeqConfig.model_validate({"question": True, "line_ends": False})
    with pytest.raises(ValueError, match='question = true needs keep = "head" or "both"'):
        Seq2SeqConfig.model_validate({"question": True, "keep": "tail"})
    with pytest.raises(ValueError, match="source_embedding_init has no use with shared_embedding = true"):
        Seq2SeqConfig.model_validate({"shared_embedding": True, "source_embedding_init": 1.0})


def test_depths_go_up_from_both_inputs(pairs):
    task = make_task(
        pairs, tied=False, positions=4, question=True, backbone=LSTM(LSTMConfig(hidden_size=8, num_layers=2))
    )

    depths = task.param_depths(jax.eval_shape(task.init, KEY))["params"]

    assert {depths["embedding"], depths["source_embedding"]} == {0}
    assert {depths["source_positions"], depths["target_positions"], depths["match"]} == {0}
    assert {depths["encoder"]["layer_0_bias"], depths["backbone"]["layer_0_bias"]} == {1}
    assert depths["backbone"]["layer_1_bias"] == 2
    assert {depths["attention_0"]["key_kernel"], depths["output_embedding"], depths["begin"]["bias"]} == {3}
    assert make_task(pairs).param_depths(jax.eval_shape(make_task(pairs).init, KEY))["params"]["embedding"] == 2


def test_a_language_model_is_a_start_for_the_decoder(pairs):
    backbone, training = LSTM(LSTMConfig(hidden_size=8)), TrainingConfig(batch_size=2, bptt=4)
    model = LanguageModelling(LMConfig(), dataset=pairs, backbone=backbone, training=training)
    source = model.predictor(jax.jit(model.init)(jax.random.key(1)))
    fresh = jax.jit(make_task(pairs).init)(KEY)

    found = transferred(fresh, source, "runs/lm")["params"]

    for name in ("backbone", "embedding"):
        jax.tree.map(np.testing.assert_array_equal, found[name], source.params["params"][name])
    for name in ("encoder", "source_embedding", "combine_0"):
        jax.tree.map(np.testing.assert_array_equal, found[name], fresh["params"][name])


# The trained model ----------------------------------------------------------------------------------------------------


def learned(task, steps, rate=0.02):
    """Parameters after some steps of Adam."""
    optimizer = optax.adam(rate)

    @jax.jit
    def step(params, state, batch, key):
        (_, _), gradient = jax.value_and_grad(task.loss, has_aux=True)(params, (), batch, key)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params = jax.jit(task.init)(KEY)
    state = optimizer.init(params)
    for number in range(steps):
        params, state = step(params, state, task.batch(number), jax.random.fold_in(KEY, number))
    return params


@pytest.mark.parametrize("settings", [{}, {"pointer": True, "attention": "additive"}], ids=["general", "pointer"])
def test_it_learns_to_turn_words_around(pairs, settings):
    task = make_task(pairs, size=24, training={"batch_size": 20}, max_padding=0.9, **settings)
    model = task.predictor(learned(task, 150))
    documents, targets = documents_of(pairs.split("train"))

    found = model.generate(documents, GREEDY)

    assert [one[0].ids.tolist() for one in found] == [target.tolist() for target in targets]
    scored = model.target_log_probs(documents, targets)
    np.testing.assert_allclose([one[0].log_prob for one in found], [one.sum() for one in scored], atol=1e-3)


def test_what_is_said_of_a_document_does_not_depend_on_those_beside_it(pairs, monkeypatch):
    monkeypatch.setattr(predictor, "most_at_once", lambda: 1)
    task = make_task(pairs, size=64)
    model = task.predictor(jax.jit(task.init)(KEY))
    documents, targets = documents_of(pairs.split("train"))
    beam = DecodingConfig(beam=2, n_best=2, max_length=9)
    assert len(documents) < slots_of(16) < 8 * len(documents) < rows_of(16)  # alone, and by turns

    def said(found):
        return [(one.ids.tolist(), one.log_prob) for one in found]

    together, answers = model.target_log_probs(documents, targets), model.generate(documents, beam)
    by_turns = model.generate(documents * 8, beam)

    for number in (0, 7, 19):
        alone = model.target_log_probs([documents[number]], [targets[number]])[0]
        np.testing.assert_array_equal(alone, together[number])
        assert said(model.generate([documents[number]], beam)[0]) == said(answers[number])
    assert [said(found) for found in by_turns] == [said(found) for found in answers] * 8
    assert [len(one) for one in together] == [len(target) + 1 for target in targets]


def test_samples_depend_on_seed_and_number_and_prefixes_are_kept(pairs):
    task = make_task(pairs)
    model = task.predictor(jax.jit(task.init)(KEY))
    documents, _ = documents_of(pairs.split("train"))
    drawn = DecodingConfig(sample=True, max_length=6, beam=1)
    prefix = np.array([3, 2], np.int32)

    def ids(found):
        return [one[0].ids.tolist() for one in found]

    whole = ids(model.generate(documents, drawn, seed=5))
    assert ids(model.generate(documents[8:], drawn, seed=5, first=8)) == whole[8:]
    assert ids(model.generate(documents, drawn, seed=6)) != whole
    begun = model.generate(
        documents[:3], DecodingConfig(beam=1, max_length=6), prefixes=[prefix, prefix[:1], prefix[:0]]
    )
    assert begun[0][0].ids[:2].tolist() == [3, 2]
    assert begun[1][0].ids[0] == 3


def test_sources_are_places_in_the_document_whatever_is_read_of_it(pairs):
    eos = pairs.eos_id
    ids = np.array([5, 6, eos, 7, eos], np.int32)
    assert Cutter(3, "tail", True, eos).places(ids).tolist() == [2, 3, 4]
    assert Cutter(4, "both", False, eos).places(ids).tolist() == [0, 1, 3]
    assert Cutter(4, "head", False, eos).places(ids[2:3]).tolist() == [0]
    task = make_task(pairs, max_source_length=2, keep="tail")
    model = task.predictor(jax.jit(task.init)(KEY))

    answer = model.generate([Document(ids, "")], DecodingConfig(beam=1, min_length=3, max_length=4))[0][0]

    assert answer.sources.dtype == np.int32
    assert set(answer.sources.tolist()) <= {3, 4}


def test_a_model_whose_weights_are_no_numbers_is_said_to_be_damaged(pairs):
    task = make_task(pairs)
    model = task.predictor(jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), jax.jit(task.init)(KEY)))
    spelled = AnswerText(pairs.tokenizer, pairs.target_tokenizer)
    validate = AnswerValidation(pairs.split("valid"), [Answers(AnswersConfig())], spelled)

    for decoding in (GREEDY, DecodingConfig(beam=2)):
        with pytest.raises(DataError, match="its parameters are damaged"):
            Answering(model, spelled, decoding).answers([Entry("ant bee")])
    with pytest.raises(DataError, match="its parameters are damaged"):
        validate(model, lambda fraction: None)


def test_attention_that_a_model_does_not_have_cannot_be_asked_for(pairs):
    task = make_task(pairs, attention="none")
    model = task.predictor(jax.jit(task.init)(KEY))

    for settings in ({"coverage_penalty": 0.1}, {"replace_unknown": True}):
        with pytest.raises(UsageError, match='attention = "none"'):
            model.generate(documents_of(pairs.split("valid"))[0], DecodingConfig(beam=1, **settings))


def test_a_least_length_beyond_the_greatest_is_an_error_and_not_ignored(pairs):
    task = make_task(pairs)
    model = task.predictor(jax.jit(task.init)(KEY))
    documents = documents_of(pairs.split("valid"))[0]
    longest = max(map(len, pairs.split("train").targets()))

    with pytest.raises(
        UsageError, match=f"min_length must be at most {longest}, the longest target of training, got 9"
    ):
        model.generate(documents, DecodingConfig(beam=1, min_length=9))
    for least, settings in ((longest, {}), (9, {"max_length": 9})):
        found = model.generate(documents, DecodingConfig(beam=1, min_length=least, **settings))
        assert all(len(one[0].ids) >= least for one in found)


def test_widths_are_few():
    assert sorted({width_of(length) for length in range(1, 200)}) == [16, 32, 64, 128, 256]
    assert all(length <= width_of(length) for length in range(1, 200))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_documents_are_shared_out_evenly_and_in_order(threads, monkeypatch):
    monkeypatch.setattr(predictor, "most_at_once", lambda: threads)

    for count in (1, 31, 32, 33, 100, 257, 1000):
        parts = evenly(list(range(count)), slots=32, most=256)

        assert sorted(number for part in parts for number in part) == list(range(count))
        assert all(part == sorted(part) and 0 < len(part) <= 256 for part in parts)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert len(parts) >= min(threads, count // 32)
    assert all(rows_of(1 << power) % slots_of(1 << power) == 0 for power in range(4, 16))


# In a run -------------------------------------------------------------------------------------------------------------

SETTINGS = ("task.name=seq2seq", "task.embedding_size=8", "model.name=lstm", "model.hidden_size=8",
            "task.max_padding=0.9", "optimizer.learning_rate=0.03", "training.batch_size=10", "training.epochs=4",
            "training.checkpoint_every=3")  # fmt: skip
run_of = partial(trained, SETTINGS)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(pairs, tmp_path, registry):
    whole = run_of(pairs, tmp_path / "whole", registry)
    with pytest.raises(Interrupted):
        run_of(pairs, tmp_path / "parts", registry, stopped_at="validating")
    parts = run_of(pairs, tmp_path / "parts", registry)

    weights = [(run.path / "model" / "weights.safetensors").read_bytes() for run in (whole, parts)]
    assert weights[0] == weights[1]
    assert whole.result["valid_token_perplexity"] == pytest.approx(np.exp(whole.result["valid_loss"]))
    assert [one["name"] for one in whole.components if one["kind"] == "model"] == ["lstm"]
    assert whole.config["task"]["encoder"] == {**whole.config["model"], "bidirectional": True}


def test_a_run_keeps_all_that_its_model_needs(two_tokenizers, tmp_path, registry):
    more = ("task.encoder={name='cnn', channels=6, num_layers=1, causal=false}", "training.epochs=1")
    run = Run.open(run_of(two_tokenizers, tmp_path / "run", registry, *more).path, registry)
    dataset = Dataset.open(two_tokenizers.path, registry)

    model = run.text_model()
    documents, targets = documents_of(dataset.split("train"))

    assert run.predicts == "texts"
    assert run.tokenizer.fingerprint == dataset.tokenizer.fingerprint
    assert run.target_tokenizer.fingerprint == dataset.target_tokenizer.fingerprint != run.tokenizer.fingerprint
    assert set(run.target_tokenizer.decode(model.generate(documents[:1], GREEDY)[0][0].ids)) <= set(" ".join(WORDS))
    assert {one["name"] for one in run.components if one["kind"] == "model"} == {"lstm", "cnn"}
    run.verify()
    again = Run.open(run.path, registry).text_model()
    for one, other in zip(*(each.target_log_probs(documents, targets) for each in (model, again)), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(DataError, match="is a text-to-text model, not a classifier"):
        run.classifier()


def test_what_cannot_be_trained_is_said_at_once(pairs, tmp_path, registry):
    with pytest.raises(ConfigError, match="needs an encoder that takes steps, and model 'ngram' is counted"):
        run_of(pairs, tmp_path / "a", registry, "task.encoder={name='ngram'}")
    with pytest.raises(ConfigError, match=r"steps_per_dispatch must be 1"):
        run_of(pairs, tmp_path / "b", registry, "training.steps_per_dispatch=2")
    plain = dataset_of(tmp_path / "plain", {"train": reversed_words(4)}, target=None)
    with pytest.raises(DataError, match="has no targets"):
        run_of(plain, tmp_path / "c", registry)
    assert not (tmp_path / "c").exists()
