"""The `classify` task: what is read of a document, in which batches, what it costs, and what the classifier gives."""

from __future__ import annotations

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoppable import trained

from lmtool.api import Document
from lmtool.config import DataConfig, TrainingConfig, choose, load_config
from lmtool.data.prepare import build, make_plan
from lmtool.errors import ConfigError, DataError, Interrupted
from lmtool.raw_config import Raw
from lmtool.signals import StopRequest
from lmtool.tasks.classify.batches import Batches
from lmtool.tasks.classify.config import ClassifyConfig
from lmtool.tasks.classify.documents import Cutter
from lmtool.tasks.classify.pooling import Pooling
from lmtool.tasks.classify.task import Classification
from lmtool.testing.corpus import labelled_dataset
from lmtool.training import train
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

EOS = 0
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("several"), multi=True)


def make_task(dataset, *, bidirectional=False, augment=None, training=None, **task):
    return Classification(
        ClassifyConfig(**{"embedding_size": 5, "dropout": 0.0, **task}),
        dataset=dataset,
        backbone=LSTM(LSTMConfig(hidden_size=6, bidirectional=bidirectional)),
        training=TrainingConfig(**{"batch_size": 4, **(training or {})}),
        augment=augment,
    )


# What is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "read"),
    [("head", [[1, 2, 3]]), ("tail", [[5, 6, 7]]), ("both", [[1, 2, 7]]), ("windows", [[1, 2, 3], [2, 3, 4], [3, 4, 5],
     [4, 5, 6], [5, 6, 7]])],
)  # fmt: skip
def test_of_a_long_document_its_start_its_end_both_or_all_is_read(keep, read):
    cutter = Cutter(max_length=3, keep=keep, line_ends=True, eos_id=EOS)

    assert [window.tolist() for window in cutter.windows(np.arange(1, 8))] == read
    assert [window.tolist() for window in cutter.windows(np.array([4, 5]))] == [[4, 5]]


@given(st.integers(1, 60), st.integers(1, 12))
def test_windows_cover_the_document_and_only_the_document_is_shorter(length, size):
    windows = Cutter(max_length=size, keep="windows", line_ends=True, eos_id=EOS).windows(np.arange(length))

    assert set(np.concatenate(windows)) == set(range(length))
    assert {len(window) for window in windows} == {min(length, size)}


def test_ends_of_lines_may_be_left_out_but_something_is_always_read():
    cutter = Cutter(max_length=3, keep="head", line_ends=False, eos_id=EOS)

    assert cutter.windows(np.array([5, EOS, 6, EOS]))[0].tolist() == [5, 6]
    assert cutter.windows(np.array([EOS]))[0].tolist() == [EOS]
    assert cutter.windows(np.array([], np.int32))[0].tolist() == [EOS]


# Batches --------------------------------------------------------------------------------------------------------------


def make_batches(dataset, cutter=None, **options):
    split = dataset.split("train")
    cutter = cutter or Cutter(max_length=12, keep="head", line_ends=True, eos_id=dataset.eos_id)
    settings = {"batch_size": 4, "seed": 0, "max_padding": 0.1, **options}
    return Batches(split, split.label_ids.astype(np.int32), cutter, **settings)


def epoch_of(batches, epoch):
    return [batches.batch(epoch * batches.steps_per_epoch + step) for step in range(batches.steps_per_epoch)]


def test_an_epoch_has_each_document_once_with_its_label(labelled):
    batches, split = make_batches(labelled), labelled.split("train")
    seen = []
    for batch in epoch_of(batches, 3):
        for ids, mask, target, weight in zip(
            *(batch[n] for n in ("inputs", "mask", "targets", "weights")), strict=True
        ):
            assert weight or mask.tolist() == [True] + [False] * (len(mask) - 1)
            if weight:
                seen.append((ids[mask].tolist(), int(target)))

    expected = [(split.document(i).ids[:12].tolist(), int(split.label_ids[i])) for i in range(split.num_documents)]
    assert sorted(seen) == sorted(expected)


def test_a_batch_is_a_function_of_seed_and_step(labelled):
    one, other = make_batches(labelled), make_batches(labelled)
    last = other.batch(2 * other.steps_per_epoch)  # whatever was asked before

    for name, array in one.batch(2 * one.steps_per_epoch).items():
        np.testing.assert_array_equal(array, last[name])
    shuffled = [[batch["inputs"].tolist() for batch in epoch_of(one, epoch)] for epoch in (0, 1)]
    assert shuffled[0] != shuffled[1]
    assert [b["inputs"].tolist() for b in epoch_of(make_batches(labelled, seed=1), 0)] != shuffled[0]


def test_what_is_augmented_differs_from_epoch_to_epoch_and_not_from_run_to_run(labelled):
    def augment(ids, rng):
        return np.append(ids[:3], rng.integers(1, 5)).astype(np.int32)

    def drawn(epoch):
        batches = make_batches(labelled, augment=augment)
        return sorted(ids[mask].tolist() for b in epoch_of(batches, epoch) for ids, mask in
                      zip(b["inputs"][b["weights"] > 0], b["mask"][b["weights"] > 0], strict=True))  # fmt: skip

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize(
    ("keep", "parts"), [("head", [(0, 1)]), ("tail", [(1, 1)]), ("both", [(0, 0.5), (1, 0.5)])]
)  # fmt: skip
def test_what_an_augmentation_makes_longer_than_its_batch_is_cut_as_the_config_says(labelled, keep, parts):
    longer = np.arange(1000, dtype=np.int32)
    cutter = Cutter(max_length=1000, keep=keep, line_ends=True, eos_id=labelled.eos_id)
    batch = make_batches(labelled, augment=lambda ids, rng: longer, cutter=cutter).batch(0)

    width = batch["inputs"].shape[1]

    assert width % 2 == 0
    pieces = [longer[: int(share * width)] if not at else longer[-int(share * width) :] for at, share in parts]
    assert batch["inputs"][0].tolist() == np.concatenate(pieces).tolist()


def test_order_and_augmentation_draw_from_streams_of_their_own(labelled):
    drawn = {}

    def augment(ids, rng):
        drawn[rng.random()] = ids
        return ids

    epoch_of(make_batches(labelled, augment=augment, seed=5), 2)

    assert len(drawn) == labelled.split("train").num_documents
    assert np.random.default_rng([5, 2]).random() not in drawn


# Pooling --------------------------------------------------------------------------------------------------------------


def test_pools_see_real_positions_only():
    h = jnp.array([[[1.0, -5.0], [3.0, -7.0], [100.0, 100.0]]])
    mask = jnp.array([[True, True, False]])

    pooled = Pooling(("last", "mean", "max"), causal=True).apply({}, h, mask)
    ends = Pooling(("last",), causal=False).apply({}, h, mask)

    assert pooled[0].tolist() == [3, -7, 2, -6, 3, -5]
    assert ends[0].tolist() == [3, -7, 1, -5]  # an encoder has read the whole document at either end


def test_attention_is_a_mean_with_learned_weights():
    h = jax.random.normal(KEY, (2, 4, 3))
    mask = jnp.array([[True] * 4, [True, True, False, False]])
    pooling = Pooling(("attention",), causal=True)
    params = pooling.init(KEY, h, mask)
    weights = {name: np.asarray(array) for name, array in params["params"]["attention"].items()}

    scores = np.tanh(np.asarray(h) @ weights["kernel"] + weights["bias"]) @ weights["query"]
    shares = np.exp(scores) * np.asarray(mask)
    expected = np.einsum("bt,bth->bh", shares / shares.sum(axis=1, keepdims=True), np.asarray(h))

    np.testing.assert_allclose(pooling.apply(params, h, mask), expected, rtol=1e-5)


# Loss -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", [["last"], ["mean", "max", "attention"]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_loss_is_the_mean_of_what_the_classifier_gives_the_labels(labelled, pooling, bidirectional):
    task = make_task(labelled, pooling=pooling, bidirectional=bidirectional)
    params, split = task.init(KEY), labelled.split("train")
    log_probs = task.predictor(params).log_probs(list(split.documents()))

    losses, counts = zip(*(task.loss(params, (), task.batch(step), KEY) for step in range(task.steps_per_epoch)),
                         strict=True)  # fmt: skip

    numbers = [int(count) for _, count in counts]
    assert sum(numbers) == task.num_data == split.num_documents
    total = sum(float(loss) * number for loss, number in zip(losses, numbers, strict=True))
    assert total == pytest.approx(-log_probs[np.arange(len(log_probs)), split.label_ids].sum(), rel=1e-4)


def test_labels_that_may_be_several_are_each_yes_or_no(several):
    task = make_task(several)
    params, split = task.init(KEY), several.split("train")
    log_probs = task.predictor(params).log_probs(list(split.documents()))
    no = np.log1p(-np.exp(log_probs))

    total = 0.0
    for step in range(task.steps_per_epoch):
        loss, (_, count) = task.loss(params, (), task.batch(step), KEY)
        total += float(loss) * int(count)

    assert total == pytest.approx(-np.where(split.label_matrix, log_probs, no).sum(), rel=1e-4)


def test_smoothing_and_weights_of_classes(labelled):
    logits, targets = jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.array([0])
    first = labelled.label_names[0]
    count = len(labelled.label_names)
    logits = jnp.pad(logits, ((0, 0), (0, count - 3)), constant_values=-1e9) if count > 3 else logits[:, :count]

    plain, smoothed, weighted = (
        make_task(labelled, **one)._nll(logits, targets)[0]
        for one in ({}, {"label_smoothing": 0.3}, {"class_weights": {first: 2.0}})
    )
    log_probs = np.asarray(jax.nn.log_softmax(logits))[0]

    assert float(plain) == pytest.approx(-log_probs[0])
    assert float(smoothed) == pytest.approx(-(0.7 * log_probs[0] + 0.3 * log_probs.mean()), rel=1e-5)
    assert float(weighted) == pytest.approx(2 * float(plain))


def test_balanced_weights_let_every_class_count_as_much(labelled):
    task, targets = make_task(labelled, class_weights="balanced"), labelled.split("train").label_ids

    totals = [task.class_weights[targets[targets == label]].sum() for label in range(len(labelled.label_names))]

    assert totals == pytest.approx([len(targets) / len(totals)] * len(totals), rel=1e-5)


def test_balanced_weights_let_a_label_and_its_absence_count_as_much(several):
    task, has = make_task(several, class_weights="balanced"), several.split("train").label_matrix

    with_it, without_it = (has * task.class_weights).sum(axis=0), (~has * task.absent_weights).sum(axis=0)

    assert with_it == pytest.approx(np.full(has.shape[1], len(has) / 2))
    assert without_it == pytest.approx(np.full(has.shape[1], len(has) / 2))
    # logits of zero: ln 2 for each label, times its weight
    nll = task._nll(jnp.zeros(has.shape), jnp.asarray(has, jnp.float32))
    assert float(nll.sum()) == pytest.approx(np.log(2) * has.size, rel=1e-5)


def test_what_makes_no_sense_is_said(labelled):
    near = f"{labelled.label_names[0]}s"
    with pytest.raises(ConfigError, match=f"names .{near}., which is no class .did you mean") as error:
        make_task(labelled, class_weights={near: 2.0})
    assert error.value.hint == f"classes are {', '.join(labelled.label_names)}"
    with pytest.raises(ConfigError, match=r"steps_per_dispatch must be 1 in classification, got 2"):
        make_task(labelled, training={"steps_per_dispatch": 2})


# The classifier -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["head", "windows"])
def test_a_document_is_given_the_same_whatever_is_beside_it(labelled, keep):
    task = make_task(labelled, keep=keep, max_length=9)
    model = task.predictor(task.init(KEY))
    documents = [*labelled.split("train").documents(), Document(np.arange(1, 60, dtype=np.int32) % 9, "")]

    together = model.log_probs(documents)

    assert np.exp(together).sum(axis=1) == pytest.approx(1, abs=1e-9)
    for number in (0, len(documents) - 1):
        np.testing.assert_array_equal(model.log_probs([documents[number]])[0], together[number])
    assert model.log_probs([]).shape == (0, len(model.labels))


def test_several_windows_are_averaged(labelled):
    task = make_task(labelled, keep="windows", max_length=4)
    model = task.predictor(task.init(KEY))
    ids = np.arange(1, 7, dtype=np.int32)
    windows = [Document(ids[start : start + 4], "") for start in (0, 2)]

    mean = np.exp(model.log_probs(windows)).mean(axis=0)

    assert np.exp(model.log_probs([Document(ids, "")])[0]) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("kind", ["labelled", "several"])
def test_attribution_of_a_linear_change_to_the_likeliest_label_adds_up(kind, request):
    dataset = request.getfixturevalue(kind)
    task = make_task(dataset, pooling=["mean"])
    params = task.init(KEY)
    model, document = task.predictor(params), dataset.split("train").document(0)
    size = 1e-3

    # to first order, what all of them say is the change if each embedding grows by a thousandth
    larger = jax.tree.map(lambda leaf: leaf, params)
    larger["params"]["embedding"] = params["params"]["embedding"] * (1 + size)
    top = int(model.log_probs([document])[0].argmax())
    change = (task.predictor(larger).log_probs([document]) - model.log_probs([document]))[0, top] / size

    assert model.attribute([document])[0].sum() == pytest.approx(change, rel=0.05, abs=1e-4)


def test_ends_of_lines_that_are_not_read_weigh_nothing(labelled):
    task = make_task(labelled, line_ends=False, max_length=4)
    model, eos = task.predictor(task.init(KEY)), labelled.eos_id
    whole, cut = np.array([3, eos, 4, eos], np.int32), np.array([3, 4, 5, 6, 7, eos], np.int32)

    first, second = model.attribute([Document(whole, ""), Document(cut, "")])

    assert (first[whole == eos] == 0).all()
    np.testing.assert_array_equal(first[whole != eos], model.attribute([Document(whole[whole != eos], "")])[0])
    assert len(second) == 4


def test_what_is_saved_gives_the_same(labelled, tmp_path):
    task = make_task(labelled)
    model, documents = task.predictor(task.init(KEY)), list(labelled.split("train").documents())
    model.save(tmp_path)

    loaded = Classification.load(tmp_path, task.config, backbone=LSTM(LSTMConfig(hidden_size=6)))

    np.testing.assert_array_equal(loaded.log_probs(documents), model.log_probs(documents))
    assert (loaded.labels, loaded.multi_label, loaded.vocab_size) == (model.labels, False, labelled.vocab_size)
    with pytest.raises(DataError, match=r"weight backbone\.layer_0"):
        Classification.load(tmp_path, task.config, backbone=LSTM(LSTMConfig(hidden_size=7)))


# In a run -------------------------------------------------------------------------------------------------------------

SETTINGS = ("task.name=classify", "task.embedding_size=8", "task.pooling=max", "model.name=lstm", "model.hidden_size=8",
            "optimizer.learning_rate=0.03", "training.batch_size=4", "training.epochs=6", "training.checkpoint_every=3",
            'training.augment=[{name="unk", rate=0.1}]')  # fmt: skip
run_of = partial(trained, SETTINGS)


def test_a_run_learns_and_one_that_was_stopped_ends_the_same(labelled, tmp_path, registry):
    whole = run_of(labelled, tmp_path / "whole", registry)
    with pytest.raises(Interrupted):
        run_of(labelled, tmp_path / "parts", registry, stopped_at="validating")
    parts = run_of(labelled, tmp_path / "parts", registry)

    split = labelled.split("train")
    documents = list(split.documents())
    found = whole.classifier().log_probs(documents)
    assert (found.argmax(axis=1) == split.label_ids).mean() > 0.9
    np.testing.assert_array_equal(parts.classifier().log_probs(documents), found)
    with pytest.raises(DataError, match="is a classifier, not a language model"):
        whole.language_model()


def test_a_validation_document_without_a_label_is_said_before_the_first_step(tmp_path, registry):
    rows = {"train": [("good", "pos"), ("bad", "neg")], "valid": [("fine", "pos"), ("so", None)]}
    for name, documents in rows.items():
        lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in documents]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    data = DataConfig(**{name: [str(tmp_path / f"{name}.jsonl")] for name in rows}, label="label")
    byte = choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", registry)
    dataset = build(make_plan(data, byte, registry), tmp_path / "out")

    with pytest.raises(DataError, match=r"document 2 of .* valid has no label, and one is wanted"):
        run_of(dataset, tmp_path / "run", registry, "training.augment=[]")

    assert not (tmp_path / "run" / "checkpoints").is_dir() or not any((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize("what", ["vectors", "propose"])
def test_a_run_is_not_resumed_with_another_content_of_a_file_or_run_that_it_names(labelled, tmp_path, registry, what):
    vectors, ngram = tmp_path / "vectors.txt", tmp_path / "ngram"
    vectors.write_text("the " + "0.5 " * 8 + "\n")
    shown = {"vectors": ("task.vectors", vectors), "propose": ("training.augment.0.run", ngram)}[what]

    def language_model(order):
        overrides = ["model.name=ngram", f"model.order={order}", f"data.path={labelled.path}"]
        config = load_config(None, registry, overrides=overrides)
        train(config, labelled, ngram, registry, stop=StopRequest(), force=ngram.is_dir())

    setting = f"task.vectors={vectors}"
    if what == "propose":
        language_model(2)
        setting = f'training.augment=[{{name="propose", run="{ngram}"}}]'
    with pytest.raises(Interrupted):
        run_of(labelled, tmp_path / "run", registry, setting, stopped_at="validating")
    if what == "propose":
        language_model(3)
    else:
        vectors.write_text("the " + "0.25 " * 8 + "\n")

    with pytest.raises(ConfigError, match=f"was begun with another content of {shown[0]}, {shown[1]}"):
        run_of(labelled, tmp_path / "run", registry, setting)


def test_the_best_model_is_picked_by_the_figure_that_is_monitored(labelled, tmp_path, registry):
    run = run_of(labelled, tmp_path / "run", registry, "training.monitor=accuracy", "training.epochs=3")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if line["kind"] == "valid"]

    assert len(validations) == 3
    assert run.result["valid_accuracy"] == max(line["accuracy"] for line in validations)
    with pytest.raises(ConfigError, match=r"training\.monitor must be one of loss, accuracy, got 'f1'"):
        run_of(labelled, tmp_path / "other", registry, "training.monitor=f1")
