"""`lmtool predict`: a filter that gives documents their classes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from lmtool.testing.corpus import labelled_documents


def answers(done):
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines(count=40):
    """Documents of one line each, and their classes."""
    documents = labelled_documents(count)
    return [document["text"].split("\n")[0] for document in documents], [document["label"] for document in documents]


def test_each_line_gets_its_class_and_probability(lmtool, labelled):
    texts, labels = lines()

    found = answers(lmtool("predict", labelled / "linear", input="\n".join(texts)))

    assert [one["label"] for one in found] == labels
    assert all(set(one) == {"label", "probability"} and 1 / 3 < one["probability"] <= 1 for one in found)


def test_an_empty_line_is_a_document_and_no_text_none(lmtool, labelled):
    assert len(answers(lmtool("predict", labelled / "linear", input="\n\nThe lamp .\n"))) == 3
    assert answers(lmtool("predict", labelled / "linear", input="")) == []


@pytest.mark.parametrize("run", ["linear", "bayes", "cnn"])
def test_what_is_said_of_a_document_does_not_depend_on_those_beside_it(lmtool, labelled, run):
    texts, _ = lines(30)

    together = lmtool("predict", labelled / run, "--all", input="\n".join(texts)).stdout.splitlines()
    (alone,) = lmtool("predict", labelled / run, "--all", input=texts[17]).stdout.splitlines()

    assert len(together) == 30
    assert together[17] == alone


def test_predictions_are_what_eval_judges(lmtool, labelled):
    test = labelled / "test.jsonl"
    (result,) = lmtool("eval", labelled / "bayes", "--on", "test", "--json").json["results"]

    found = answers(lmtool("predict", labelled / "bayes", test, "--prefix", "predicted_"))

    right = [one["label"] == one["predicted_label"] for one in found]
    assert len(right) == 40
    assert sum(right) / 40 == pytest.approx(result["metrics"]["accuracy"]["value"])


def test_records_keep_their_other_fields_and_files_may_be_compressed(lmtool, labelled):
    records = [{"id": 7, "body": "Her sister sold two grey geese .\nThe lamp ."}, {"body": "", "id": None}]
    data = "".join(json.dumps(one) + "\n\n" for one in records).encode()
    (lmtool.cwd / "in.gz").write_bytes(gzip.compress(data))

    found = answers(lmtool("predict", labelled / "linear", "in.gz", "--field", "body"))

    assert [(one["id"], set(one)) for one in found] == [
        (7, {"id", "label", "probability"}),
        (None, {"id", "label", "probability"}),
    ]
    assert answers(lmtool("predict", labelled / "linear", "--field", "body", input=data)) == found
    assert answers(lmtool("predict", labelled / "linear", "--field", "body", input=gzip.compress(data))) == found


def test_columns_and_more_classes(lmtool, labelled):
    text = "Her sister sold two grey geese ."
    (wide,) = answers(lmtool("predict", labelled / "linear", "--top-k", 2, "--all", "--text", input=text))

    (row,) = lmtool("predict", labelled / "linear", "--plain", "--top-k", 2, input=text).stdout.splitlines()

    assert wide["text"] == text
    assert list(wide["probabilities"]) == ["house", "trade", "water"]
    assert sum(wide["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert row.split("\t")[::2] == [one["label"] for one in wide["top"]]
    assert [float(number) for number in row.split("\t")[1::2]] == [one["probability"] for one in wide["top"]]


def test_a_document_may_have_any_number_of_labels(lmtool, labelled):
    texts = [document["text"] for document in labelled_documents(20)]
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts)

    few, many = (
        answers(lmtool("predict", labelled / "several", "--field", "text", "--threshold", share, input=data))
        for share in (0.5, 0.05)
    )

    assert any(len(one["labels"]) != 1 for one in few)
    for some, more in zip(few, many, strict=True):
        assert more["labels"][: len(some["labels"])] == some["labels"]
        assert all(one["probability"] >= 0.05 for one in more["labels"])


def test_words_that_say_whose_the_sentence_is_matter_most(lmtool, labelled):
    text = "Her sister sold two grey geese ."

    (occluded,) = answers(lmtool("predict", labelled / "linear", "--explain", input=text))
    (graded,) = answers(lmtool("predict", labelled / "cnn", "--explain", "--gradient", input=text))

    words = [word for word, _ in occluded["explanation"]]
    weights = dict(occluded["explanation"])
    assert words == text.split()
    assert max(weights, key=weights.get) in ("Her", "sister")
    assert [token for token, _ in graded["explanation"]] == [*text.split(), "<eos>"]


def test_an_answer_comes_before_the_next_line_is_asked(labelled):
    command = [sys.executable, "-m", "lmtool", "predict", str(labelled / "linear"), "--plain"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for line in ("Her sister sold two grey geese .\n", "The lamp .\n"):
            process.stdin.write(line)
            assert len(process.stdout.readline().split("\t")) == 2
        process.stdin.close()
        assert process.wait(timeout=300) == 0


def test_a_reader_that_has_enough_ends_it_in_silence(labelled):
    command = f"yes The old clerk | {sys.executable} -m lmtool predict {labelled / 'linear'} | head -n 2"

    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=300)

    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("run", "options", "code", "message"),
    [
        ("linear", ["--threshold", "0.3"], 2, "--threshold is for documents with any number of labels"),
        ("several", ["--threshold", "3"], 2, "--threshold must be from 0 to 1, got 3"),
        ("linear", ["--top-k", "0"], 2, "--top-k must be at least 1, got 0"),
        ("linear", ["--gradient"], 2, "--gradient says how to explain"),
        ("linear", ["--explain", "--gradient"], 2, "has no gradients: it is no network"),
        ("linear", ["--plain", "--all"], 2, "--plain has columns"),
        ("linear", ["--field", "text"], 1, "-:1: not JSON"),
        ("linear", ["nowhere.txt"], 1, "nowhere.txt"),
        ("nowhere", [], 1, "nowhere"),
    ],
)
def test_mistakes_are_one_line(lmtool, labelled, run, options, code, message):
    done = lmtool("predict", labelled / run, *options, input="The lamp .\n")

    assert (done.code, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[0]


def test_a_language_model_predicts_no_classes_and_a_classifier_no_tokens(lmtool, labelled, tiny):
    predicted = lmtool("predict", tiny / "words", input="The lamp .\n")
    scored = lmtool("score", labelled / "linear", input="The lamp .\n")
    generated = lmtool("generate", labelled / "linear", "--prompt", "The")

    assert predicted.code == scored.code == generated.code == 1
    assert f"hint: `lmtool score {tiny / 'words'}`" in predicted.stderr
    assert f"`lmtool predict {labelled / 'linear'}`" in scored.stderr
    assert f"`lmtool predict {labelled / 'linear'}`" in generated.stderr


POSTS = {
    "trade": ["We sell flour and lamps .", "The price of flour rose ."],
    "water": ["The river is high .", "A boat on the river ."],
}


@pytest.mark.parametrize("as_dataset", [False, True])
def test_what_the_reader_left_out_of_the_training_text_is_left_out_of_records(lmtool, as_dataset):
    def post(text, header="From: me"):
        return f"{header}\n\n{text}"

    rows = [{"text": post(text), "label": label} for label, texts in POSTS.items() for text in texts]
    (lmtool.cwd / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = ["--set", 'data.reader={name="jsonl", remove=["headers"]}']
    model = ["--task", "classify", "--model", "linear", "--set", "model.min_count=1", "-o", "run"]
    if as_dataset:
        assert (
            lmtool(
                "tokenize", "--tokenizer", "char", "--label", "label", "--train", "posts.jsonl", *reader, "-o", "set"
            ).code
            == 0
        )
        reader = []
    assert lmtool("train", *model, "--data", "set" if as_dataset else "posts.jsonl", *reader).code == 0

    def predicted(*texts, options=()):
        records = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        found = answers(lmtool("predict", "run", "--field", "text", "--all", *options, input=records))
        return [one["probabilities"] for one in found]

    plain, misleading = "A lamp beside the river .", "Subject: flour price flour"
    whole, with_header = predicted(plain, post(plain, misleading), options=["--as-is"])
    assert predicted(post(plain, misleading), post(plain)) == [whole, whole]
    assert with_header != whole
    # a line is all there is of its document
    assert answers(lmtool("predict", "run", "--all", input=f"{plain}\n"))[0]["probabilities"] == whole
