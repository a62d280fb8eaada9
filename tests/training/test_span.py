"""The `span` task: which spans there are, how likely answers are, what is read, and what a trained model answers."""

from __future__ import annotations

import json
import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.api import Document
from lmtool.config import DataConfig, TrainingConfig, choose, load_config
from lmtool.data.prepare import build, make_plan
from lmtool.errors import ConfigError, DataError
from lmtool.raw_config import Raw
from lmtool.run import Run
from lmtool.settings import DecodingConfig
from lmtool.signals import StopRequest
from lmtool.tasks.span.config import SpanConfig
from lmtool.tasks.span.predictor import OTHER
from lmtool.tasks.span.questions import Splitter, occurrences, spellings
from lmtool.tasks.span.spans import allowed, best_spans, marginal, span_log_probs
from lmtool.tasks.span.spelling import offsets, spelt
from lmtool.tasks.span.task import SpanAnswering
from lmtool.training import train
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig
from lmtool_tokenizers.bpe import BPETokenizer
from lmtool_tokenizers.char import CharTokenizer
from lmtool_tokenizers.config import BPEConfig, CharConfig, WordConfig
from lmtool_tokenizers.word import WordTokenizer

EOS = 0
KEY = jax.random.key(0)

PLACES = ["the old mill", "the market", "the north gate", "the harbour"]
NAMES = ["Anna", "Bert", "Cleo", "Dora"]


def records(count, start=0):
    """Where somebody is, asked of a context that says it of two people."""
    found = []
    for number in range(start, start + count):
        one, other = NAMES[number % 4], NAMES[(number + 1 + number // 4 % 3) % 4]
        here, there = PLACES[number // 2 % 4], PLACES[(number // 2 + 1 + number // 8 % 3) % 4]
        context = f"{one} waits at {here} today. {other} waits at {there} now."
        found.append({"question": f"Where does {one} wait?", "context": context, "answers": [here, here[4:]]})
    return found


def dataset_in(folder, rows=None, *, tokenizer=None, **data):
    folder.mkdir(exist_ok=True)
    rows = rows or {"train": records(64), "valid": records(8, 64), "test": records(8, 72)}
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    settings = {"reader": {"name": "jsonl", "text_field": ["question", "context"]}, "target": "answers", **data}
    config = DataConfig.model_validate({name: [str(folder / f"{name}.jsonl")] for name in rows} | settings)
    chosen = tokenizer or {"name": "word", "punctuation": "split", "lowercase": True}
    return build(
        make_plan(config, choose(Raw({"tokenizer": chosen}), "tokenizer", registry()), registry()), folder / "data"
    )


def registry():
    from lmtool.registry import Registry

    return Registry(third_party=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return dataset_in(tmp_path_factory.mktemp("questions"))


def make_task(dataset, *, training=None, **task):
    return SpanAnswering(
        SpanConfig(**{"embedding_size": 6, "dropout": 0.0, "max_answer_length": 4, **task}),
        dataset=dataset,
        backbone=LSTM(LSTMConfig(hidden_size=5, bidirectional=True)),
        training=TrainingConfig(**{"batch_size": 8, **(training or {})}),
    )


@pytest.fixture(scope="module")
def task(dataset):
    return make_task(dataset)


@pytest.fixture(scope="module")
def model(task):
    return task.predictor(task.init(KEY))


# Spans ----------------------------------------------------------------------------------------------------------------


def brute_force(context, mask, length):
    """Every span that lies in one line."""
    spans = ((s, d) for s in range(len(context)) for d in range(length) if s + d < len(context))
    return [(s, d) for s, d in spans if mask[s + d] and EOS not in context[s : s + d + 1]]


@partial(jax.jit, static_argnames="length")
def log_probs_of(start, end, context, mask, length):
    return span_log_probs(start[None], end[None], allowed(context[None], mask[None], EOS, length))[0]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 3), min_size=12, max_size=12), st.sampled_from([1, 4]), st.integers(1, 12), st.integers()
)
def test_the_best_spans_are_those_that_looking_at_every_span_finds(context, length, real, seed):
    context, mask = np.array(context, np.int32), np.arange(12) < real
    start, end = np.random.default_rng(abs(seed)).normal(size=(2, 12)).astype(np.float32)

    log_probs = np.asarray(log_probs_of(start, end, context, mask, length))

    spans = brute_force(context, mask, length)
    scores = {(s, d): float(start[s] + end[s + d]) for s, d in spans}
    ranked = sorted(spans, key=lambda span: -scores[span])
    assert [tuple(span) for span in best_spans(log_probs, 5).tolist()] == ranked[:5]
    assert [tuple(span) for span in best_spans(log_probs, 1).tolist()] == ranked[:1]
    total = np.log(sum(np.exp(score) for score in scores.values())) if scores else 0
    for span in spans:
        assert log_probs[span] == pytest.approx(scores[span] - total, abs=1e-5)


def test_an_answer_is_as_likely_as_all_of_its_spans_together():
    start, end = jnp.log(jnp.array([[1.0, 2.0, 3.0]])), jnp.log(jnp.array([[1.0, 1.0, 2.0]]))
    inside = allowed(jnp.array([[5, 6, 5]]), jnp.ones((1, 3), bool), EOS, 2)
    answers = np.zeros((1, 3, 2), bool)
    answers[0, [0, 2], 0] = True

    found = marginal(span_log_probs(start, end, inside), jnp.array(answers))

    # spans: 0 1·1, 0-1 1·1, 1 2·1, 1-2 2·2, 2 3·2; the first and the last are answers
    assert float(jnp.exp(found[0])) == pytest.approx((1 + 6) / (1 + 1 + 2 + 4 + 6))


def test_answers_are_found_wherever_they_stand():
    context = np.array([1, 2, 1, 2, 3, 0, 1])

    found = occurrences(context, [np.array([1, 2]), np.array([1]), np.array([1, 2]), np.array([2, 3, 0, 1])], 3)

    assert found.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1], [6, 0]]
    assert occurrences(context, [np.zeros(0, int), np.arange(9)], 9).shape == (0, 2)


# What is read ---------------------------------------------------------------------------------------------------------


def test_the_first_line_is_the_question_and_all_others_are_the_context():
    split = Splitter(EOS, max_question_length=2, max_context_length=4)

    found = split(np.array([1, 2, 3, EOS, 4, 5, EOS, 6, 7, EOS]))

    assert (found.question.tolist(), found.context.tolist(), found.offset) == ([1, 2], [4, 5, EOS, 6], 4)
    assert [one.tolist() for one in split(np.array([1, EOS]))[:2]] == [[1], [EOS]]
    assert [one.tolist() for one in split(np.array([], np.int32))[:2]] == [[EOS], [EOS]]


def test_a_batch_has_questions_and_where_their_answers_stand(dataset, task):
    seen, tokenizer = 0, dataset.tokenizer
    for step in range(task.steps_per_epoch):
        batch = task.batch(step)
        for row in np.flatnonzero(batch["weights"]):
            seen += 1
            context = batch["context"][row]
            texts = {tokenizer.decode(context[s : s + d + 1].tolist()) for s, d in np.argwhere(batch["answers"][row])}
            # "the old mill", and "old mill" in it, which is an answer, too
            assert {text.removeprefix("the ") for text in texts} & {place[4:] for place in PLACES}
            assert len({text.removeprefix("the ") for text in texts}) == 1
            assert len(texts) == 2
            asked = tokenizer.decode(batch["question"][row][batch["question_mask"][row]].tolist())
            assert asked.startswith("where does ")
        assert not batch["answers"][batch["weights"] == 0].any()
    assert seen == task.num_data == 64


def test_batches_are_a_function_of_seed_and_step(dataset, task):
    again, other = make_task(dataset), make_task(dataset, training={"seed": 1})

    for step in (0, 5, task.steps_per_epoch + 1):
        assert all((again.batch(step)[name] == value).all() for name, value in task.batch(step).items())
    assert any((other.batch(step)["context"] != task.batch(step)["context"]).any() for step in range(3))


def test_questions_whose_answers_do_not_stand_in_the_context_are_left_out_and_counted(tmp_path, caplog):
    rows = records(6)
    rows[2]["answers"] = ["nowhere"]
    rows[4]["answers"] = ["waits at the old mill today", "nowhere"]  # longer than what is looked for
    dataset = dataset_in(tmp_path, {"train": rows})

    with caplog.at_level(logging.WARNING):
        task = make_task(dataset)

    assert task.num_data == 4
    assert caplog.messages[-1].startswith(
        "2 of 6 questions are left out of training: no answer stands in the first 800"
    )


def test_an_unknown_word_is_no_answer_since_it_may_be_any_word(tmp_path):
    rows = records(64)
    rows[0] = {**rows[0], "answers": ["zebra"], "context": "A yak waits. A zebra is not here."}
    # as rare as "yak", which stands in the context, too
    tokenizer = {"name": "word", "punctuation": "split", "lowercase": True, "min_count": 3}

    assert make_task(dataset_in(tmp_path, {"train": rows}, tokenizer=tokenizer)).num_data == 63


def test_what_the_backbone_reads_lies_below_it(task, model):
    depths = task.param_depths(model.params)["params"]

    assert {depths[name] for name in ("embedding", "match", "aligned_kernel", "likeness_kernel")} == {0}
    assert set(jax.tree.leaves(depths["backbone"])) == {1}
    assert {depths["start_kernel"], depths["pooling"]["query"]} == {2}


def test_without_an_answer_in_any_context_there_is_nothing_to_learn(tmp_path):
    rows = [{**row, "answers": ["nowhere"]} for row in records(3)]

    with pytest.raises(DataError, match="no answer of the train split stands in the first 800 tokens") as error:
        make_task(dataset_in(tmp_path, {"train": rows}))

    assert "data.reader.text_field" in error.value.hint


def test_a_tokenizer_of_targets_alone_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="have a tokenizer of their own"):
        make_task(dataset_in(tmp_path, target_tokenizer={"name": "char"}))


def test_without_targets_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(DataError, match="has no targets"):
        make_task(dataset_in(tmp_path, target=None))


# Spelling -------------------------------------------------------------------------------------------------------------

LINE = "The  U.S. team's score – 24–10 – was “Élan's” best."


def tokenizers():
    lines = ["the u.s. team's score was best - a day's ride", "The team's day. best"]
    return {
        "split": WordTokenizer.train(lines, WordConfig(punctuation="split", lowercase=True)),
        "drop": WordTokenizer.train(lines, WordConfig(punctuation="drop")),
        "keep": WordTokenizer.train(lines, WordConfig()),
        "char": CharTokenizer.train(lines, CharConfig()),
        "bpe": BPETokenizer.train(lines, BPEConfig(vocab_size=280)),
    }


@pytest.mark.parametrize("name", ["split", "drop", "keep", "char"])
def test_each_id_is_found_in_its_line_known_or_not(name):
    tokenizer = tokenizers()[name]
    ids = tokenizer.encode(LINE)

    places = offsets(tokenizer, LINE, ids)

    assert places is not None
    assert tokenizer.unk_id in ids
    assert [tokenizer.encode(LINE[start:stop]) for start, stop in places] == [[id] for id in ids]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["split", "drop", "keep", "char", "bpe"])
def test_a_span_is_spelt_as_in_its_line(name):
    tokenizer = tokenizers()[name]
    ids = tokenizer.encode(LINE)

    for start in range(len(ids)):
        for stop in range(start + 1, len(ids) + 1):
            text = spelt(tokenizer, LINE, ids, start, stop)
            if "\ufffd" not in text:  # a part of a character
                assert text in LINE


def test_a_word_is_not_looked_for_inside_of_another():
    tokenizer = WordTokenizer.train(["the us bus"], WordConfig(lowercase=True))
    line = "The US bus"
    ids = tokenizer.encode(line)

    assert [spelt(tokenizer, line, ids, place, place + 1) for place in range(3)] == ["The", "US", "bus"]


def test_a_line_that_is_not_that_of_the_ids_gives_the_ids_decoded():
    tokenizer = tokenizers()["split"]
    ids = tokenizer.encode("the team's score")

    assert offsets(tokenizer, "quite another", ids) is None
    assert spelt(tokenizer, "quite another", ids, 1, 3) == "team's score"


def test_subwords_are_looked_for_with_and_without_a_space_before_them():
    bpe, word = tokenizers()["bpe"], tokenizers()["split"]
    context = np.array(bpe.encode("a team's best day"))

    assert len(occurrences(context, spellings(bpe, "best"), 9)) == 1
    assert len(spellings(word, "best")) == 1


# The network ----------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_over_questions_of_what_the_model_gives(dataset, task, model):
    batch = task.batch(0)

    value, (_, count) = jax.jit(task.loss)(model.params, (), batch, KEY)

    log_probs = model.functions.log_probs(
        model.params, *(batch[name] for name in ("question", "question_mask", "context", "context_mask"))
    )
    real = np.flatnonzero(batch["weights"])
    given = [np.log(np.exp(np.asarray(log_probs[row])[batch["answers"][row]]).sum()) for row in real]
    assert float(value) == pytest.approx(-np.mean(given), abs=1e-4)
    assert int(count) == len(real)


def test_padding_and_other_documents_change_nothing(dataset, model):
    documents = list(dataset.split("test").documents())
    long = Document(np.concatenate([documents[0].ids, documents[1].ids]), f"{documents[0].text}\n{documents[1].text}")

    alone = [model.generate([one], DecodingConfig(n_best=2))[0] for one in documents]
    together = model.generate([*documents, long], DecodingConfig(n_best=2))

    for some, others in zip(alone, together, strict=False):
        assert [one.text for one in some] == [one.text for one in others]
        assert [one.log_prob for one in some] == pytest.approx([one.log_prob for one in others], abs=1e-5)


def test_all_answers_of_a_context_have_a_probability_of_one_together(dataset, model):
    document = dataset.split("test").document(0)
    (answers,) = model.generate([document], DecodingConfig(beam=500, n_best=500))

    given = model.target_log_probs([document] * len(answers), [one.ids for one in answers])

    assert len({one.ids.tobytes() for one in answers}) == len(answers) > 20
    assert [one.sum() for one in given] == pytest.approx([one.log_prob for one in answers])
    # the share of other texts is OTHER, of which spans have a part as texts, too
    assert sum(np.exp(one.log_prob) for one in answers) == pytest.approx(1 - OTHER, abs=OTHER)
    assert [one.score for one in answers] == sorted((one.score for one in answers), reverse=True)


def test_a_text_that_is_no_span_is_as_likely_as_its_tokens_drawn_alike(dataset, model):
    document, target = dataset.split("test").document(0), np.array([5, 5, 5])

    (given,) = model.target_log_probs([document], [target])

    assert given.tolist() == [0, 0, 0, pytest.approx(np.log(OTHER) - 4 * np.log(dataset.vocab_size))]


def test_an_answer_is_spelt_as_in_the_document_and_says_where_it_stands(dataset, model):
    document = dataset.split("test").document(0)

    for one in model.generate([document], DecodingConfig(beam=100, n_best=100))[0]:
        assert one.text in document.text
        assert (document.ids[one.sources] == one.ids).all()


def test_lengths_prefixes_and_samples_are_heeded(dataset, model):
    document = dataset.split("test").document(0)
    prefix = document.ids[-4:-3]

    def ids(**settings):
        prefixes = settings.pop("prefixes", None)
        found = model.generate([document], DecodingConfig(beam=50, **settings), prefixes=prefixes)
        return [one.ids for one in found[0]]

    assert {len(one) for one in ids(n_best=50, min_length=2, max_length=3)} == {2, 3}
    assert all(one[0] == prefix[0] for one in ids(n_best=50, prefixes=[prefix]))
    assert [one.tolist() for one in ids(prefixes=[np.array([1, 1], np.int32)])] == [[1, 1]]
    assert ids(sample=True)[0].tolist() == ids(sample=True)[0].tolist()
    drawn = {model.generate([document], DecodingConfig(sample=True), seed=seed)[0][0].text for seed in range(20)}
    assert len(drawn) > 5


def test_samples_are_drawn_as_often_as_they_are_likely(dataset, model):
    document = dataset.split("test").document(0)
    (best,) = model.generate([document], DecodingConfig())[0]
    drawn = [model.generate([document], DecodingConfig(sample=True), seed=seed)[0][0] for seed in range(300)]

    share, expected = np.mean([one.ids.tolist() == best.ids.tolist() for one in drawn]), np.exp(best.log_prob)

    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 300)


def test_a_question_without_a_context_has_an_empty_answer(dataset, model):
    ids = np.array([*dataset.tokenizer.encode("where?"), dataset.eos_id], np.int32)

    ((found,),) = model.generate([Document(ids, "where?")], DecodingConfig())

    assert found.ids.tolist() == []
    assert found.log_prob == pytest.approx(np.log(OTHER) - np.log(dataset.vocab_size))


def test_a_saved_model_answers_the_same(dataset, task, model, tmp_path):
    documents = list(dataset.split("test").documents())
    model.save(tmp_path)

    loaded = SpanAnswering.load(tmp_path, task.config, backbone=task.network.backbone)

    for before, after in zip(*(one.generate(documents, DecodingConfig()) for one in (model, loaded)), strict=True):
        assert [(one.text, one.log_prob) for one in before] == [(one.text, one.log_prob) for one in after]
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(DataError, match=r"model\.json is damaged"):
        SpanAnswering.load(tmp_path, task.config, backbone=task.network.backbone)


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_run_learns_where_answers_stand(dataset, tmp_path):
    config = load_config(
        None,
        registry(),
        flags={"model.name": "lstm", "task.name": "span", "optimizer.name": "adamw"},
        overrides=[
            f'data.path="{dataset.path}"', "model.hidden_size=24", "model.bidirectional=true", "task.dropout=0.0",
            "task.embedding_size=24", "task.max_answer_length=4", "training.batch_size=16", "training.epochs=40",
            "training.eval_every=80",
            "optimizer.learning_rate=0.01", "training.max_grad_norm=1.0",
        ],
    )  # fmt: skip
    train(config, dataset, tmp_path / "run", registry(), stop=StopRequest())

    run = Run.open(tmp_path / "run", registry())
    split = dataset.split("test")
    answers = run.text_model().generate(list(split.documents()), DecodingConfig())
    assert [one.text for (one,) in answers] == [split.references(number)[0] for number in range(8)]
    assert run.result["valid_loss"] < 0.5
