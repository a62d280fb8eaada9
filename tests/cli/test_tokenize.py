"""`lmtool tokenize`, from the shell: datasets, filters, signals, streams."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lmtool.cli.main import run
from lmtool.data.dataset import Dataset
from lmtool.testing.corpus import TINY_TEXT

COMMAND = [sys.executable, "-m", "lmtool", "tokenize"]


@pytest.fixture
def texts(tmp_path):
    lines = TINY_TEXT.splitlines(keepends=True)
    (tmp_path / "train.txt").write_text("".join(lines[:300]))
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress("".join(lines[300:350]).encode()))
    (tmp_path / "more.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines[350:]))
    return tmp_path


@pytest.fixture
def made(lmtool, texts):
    done = lmtool("tokenize", "--tokenizer", "word", "--train", "train.txt", "--valid", "valid.txt.gz", "-o", "data")
    assert done.code == 0, done.stderr
    return done


# datasets -----------------------------------------------------------------------------------------------------------


def test_a_dataset_is_made_and_its_path_is_the_answer(made, texts):
    assert made.stdout == "data\n"
    assert "train: " in made.stderr
    dataset = Dataset.open(texts / "data")
    assert dataset.split_names == ("train", "valid")
    decoded = dataset.tokenizer.decode(dataset.split("train").read(0, 10**9))
    assert decoded == (texts / "train.txt").read_text()


def test_json_is_one_object_and_agrees_with_wc(lmtool, texts):
    done = lmtool(
        "tokenize", "--tokenizer", "char", "--train", "train.txt", "--test", "more.jsonl", "-o", "d", "--json"
    )

    text = (texts / "train.txt").read_text()
    assert done.json["schema"] == 1
    assert done.json["dataset"] == "d"
    assert done.json["splits"]["train"] | {"sources": 0} == {
        "tokens": len(text),  # a token for each character, line ends included
        "lines": text.count("\n"),
        "documents": 1,
        "words": len(text.split()),
        "chars": len(text),
        "bytes": len(text.encode()),
        "unknown": 0,
        "unknown_bytes": 0,
        "sources": 0,
    }
    assert done.json["splits"]["test"]["documents"] == 50
    assert done.json["splits"]["test"]["sources"][0]["reader"] == "jsonl"
    assert done.stderr == ""


def test_the_same_command_again_does_nothing_and_another_one_is_refused(lmtool, made, texts):
    stamp = (texts / "data" / "dataset.json").stat()
    arguments = ["--tokenizer", "word", "--train", "train.txt", "--valid", "valid.txt.gz", "-o", "data"]

    again = lmtool("tokenize", *arguments)
    other = lmtool("tokenize", *arguments, "--set", "tokenizer.min_count=2")
    forced = lmtool("tokenize", *arguments, "--set", "tokenizer.min_count=2", "--force")

    assert (again.code, again.stdout) == (0, "data\n")
    assert (other.code, other.stdout) == (1, "")
    assert other.stderr.startswith("error: data holds another dataset")
    assert "hint: `--force` replaces it" in other.stderr
    assert forced.code == 0
    assert (texts / "data" / "dataset.json").stat() != stamp


def test_several_sources_globs_and_repeated_options_follow_each_other(lmtool, texts):
    (texts / "a.txt").write_text("a\n")
    (texts / "b.txt").write_text("b\n")

    done = lmtool("tokenize", "--tokenizer", "byte", "--train", "b.txt", "--train", "[ab].txt", "-o", "d")

    assert done.code == 0, done.stderr
    split = Dataset.open(texts / "d").split("train")
    assert bytes(split.read(0, 99).tolist()) == b"b\na\nb\n"
    assert split.document_ends.tolist() == [2, 4, 6]


def test_stdin_is_a_source(lmtool, texts):
    done = lmtool("tokenize", "--tokenizer", "word", "--train", "-", "-o", "d", input="b a\nb\n")

    assert done.code == 0, done.stderr
    assert Dataset.open(texts / "d").split("train").read(0, 99).tolist() == [2, 3, 0, 2, 0]


def test_a_pipe_is_a_source(texts):
    command = f"{sys.executable} -m lmtool tokenize --tokenizer word --train <(echo b a; echo b) -o d"

    done = subprocess.run(["bash", "-c", command], cwd=texts, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert Dataset.open(texts / "d").split("train").read(0, 99).tolist() == [2, 3, 0, 2, 0]


def test_a_config_names_text_and_tokenizer(lmtool, texts):
    (texts / "c.toml").write_text(
        '[data]\ntrain = ["more.jsonl"]\n[data.reader]\nname = "jsonl"\n[tokenizer]\nname = "char"\nvocab_size = 10\n'
        '[model]\nname = "lstm"\n'
    )

    done = lmtool("tokenize", "--config", "c.toml", "-o", "d", "--set", "tokenizer.vocab_size=9", "--json")

    assert done.json["tokenizer"]["vocab_size"] == 9
    assert done.json["splits"]["train"]["unknown"] > 0


def test_a_reader_is_named_for_files_of_any_suffix(lmtool, texts):
    (texts / "more.jsonl").rename(texts / "more.log")

    done = lmtool("tokenize", "--tokenizer", "char", "--train", "more.log", "--reader", "jsonl", "-o", "d", "--json")

    assert done.json["splits"]["train"]["documents"] == 50


@pytest.fixture
def labelled(texts):
    rows = [{"text": f"text {number}", "topic": f"t{number % 3}"} for number in range(30)]
    (texts / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return texts


def test_label_keeps_the_labels_of_a_field(lmtool, labelled):
    options = ["--tokenizer", "word", "--train", "labelled.jsonl", "--label", "topic", "-o", "d"]

    done = lmtool("tokenize", *options)
    again = lmtool("tokenize", *options, "--json")

    assert "labels in 'topic': 3 classes\n" in done.stderr
    assert again.json["labels"] == {"field": "topic", "names": ["t0", "t1", "t2"], "multi": False}
    assert Dataset.open(labelled / "d").split("train").label_ids.tolist() == [number % 3 for number in range(30)]


def test_with_takes_the_labels_of_a_dataset(lmtool, labelled):
    (labelled / "new.csv").write_text("text,topic\nnew,t2\n")
    lmtool("tokenize", "--tokenizer", "word", "--train", "labelled.jsonl", "--label", "topic", "-o", "d")

    done = lmtool("tokenize", "--with", "d", "--test", "new.csv", "--label", "topic", "-o", "e")

    assert done.code == 0, done.stderr
    assert Dataset.open(labelled / "e").split("test").label_ids.tolist() == [2]


def test_a_config_of_classification_and_its_held_out_documents(lmtool, labelled):
    (labelled / "c.toml").write_text(
        '[data]\ntrain = ["labelled.jsonl"]\nlabel = "topic"\nvalid_fraction = 0.3\n[tokenizer]\nname = "char"\n'
        '[task]\nname = "classify"\n[model]\nname = "lstm"\n'
    )

    done = lmtool("tokenize", "--config", "c.toml", "-o", "d", "--json")

    documents = {name: split["documents"] for name, split in done.json["splits"].items()}
    assert set(documents) == {"train", "valid"}
    assert sum(documents.values()) == 30
    assert done.json["splits"]["valid"]["sources"][0]["share"] == {"fraction": 0.3, "held_out": True}


def test_labels_have_no_use_in_a_filter_and_need_a_training_text(lmtool, labelled):
    as_filter = lmtool("tokenize", "--tokenizer", "byte", "--label", "topic", input="a\n")
    untrained = lmtool("tokenize", "--tokenizer", "byte", "--test", "labelled.jsonl", "--label", "topic", "-o", "d")
    misspelt = lmtool("tokenize", "--tokenizer", "byte", "--train", "labelled.jsonl", "--label", "topik", "-o", "d")

    assert (as_filter.code, as_filter.stderr.splitlines()[0]) == (
        2,
        "error: --label topic is for making a dataset: a filter reads lines",
    )
    assert (untrained.code, misspelt.code) == (2, 1)
    assert "labels are learned from the training text, and there is none" in untrained.stderr
    assert "field 'topik' (did you mean 'topic'?)" in misspelt.stderr
    assert "warning" not in misspelt.stderr


def test_with_encodes_by_the_tokenizer_of_a_dataset(lmtool, made, texts):
    done = lmtool("tokenize", "--with", "data", "--test", "more.jsonl", "-o", "d")

    assert done.code == 0, done.stderr
    assert Dataset.open(texts / "d").fingerprint == Dataset.open(texts / "data").fingerprint


def test_two_that_make_the_same_dataset_at_once_both_succeed(texts):
    command = [*COMMAND, "--tokenizer", "word", "--train", "train.txt", "-o", "d"]

    racing = [subprocess.Popen(command, cwd=texts, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    assert {(process.communicate(timeout=300)[0], process.returncode) for process in racing} == {("d\n", 0)}
    assert sorted(os.listdir(texts)) == ["d", "more.jsonl", "train.txt", "valid.txt.gz"]


def test_a_file_whose_name_is_not_utf8(lmtool, texts):
    name = os.fsdecode(b"caf\xe9.txt")
    (texts / "train.txt").rename(texts / name)

    done = lmtool("tokenize", "--tokenizer", "byte", "--train", name, "-o", "d")

    assert done.code == 0, done.stderr
    assert Dataset.open(texts / "d").record["splits"]["train"]["sources"][0]["name"] == name


def test_builtin_pydoc_and_bpe(lmtool, texts):
    arguments = ["--train", "builtin:pydoc#valid", "--set", "tokenizer.vocab_size=300", "-o", "d"]

    done = lmtool("tokenize", "--tokenizer", "bpe", *arguments, "--json")

    assert done.json["tokenizer"]["vocab_size"] == 300
    again = lmtool("tokenize", "--with", "d/tokenizer/tokenizer.json", "-", input="some text\n")
    assert again.stdout == lmtool("tokenize", "--with", "d", "-", input="some text\n").stdout


# filters ------------------------------------------------------------------------------------------------------------


def test_a_filter_answers_each_line_with_its_ids(lmtool, texts):
    done = lmtool("tokenize", "--tokenizer", "byte", "-", input="ab\n\né")

    assert done.stdout == "97 98\n\n195 169\n"
    assert done.stderr == ""


def test_a_filter_prints_tokens_and_decodes_ids(lmtool, made):
    text = "The miller sold\n\nxyz two\n"

    ids = lmtool("tokenize", "--with", "data", "-", input=text)
    tokens = lmtool("tokenize", "--with", "data", "--tokens", input=text)
    back = lmtool("tokenize", "--with", "data", "--decode", "-", input=ids.stdout)

    assert tokens.stdout == back.stdout == "The miller sold\n\n<unk> two\n"


def test_a_filter_reads_files(lmtool, texts):
    (texts / "a.txt").write_text("a\n")

    assert lmtool("tokenize", "--tokenizer", "byte", "a.txt", "-", "a.txt", input="b\n").stdout == "97\n98\n97\n"


def test_any_tokenizer_json_will_do(lmtool, texts):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(texts / "tokenizer.json"))

    assert lmtool("tokenize", "--with", "tokenizer.json", "-", input="a b\n\n").stdout == "1 0\n\n"


def test_a_filter_answers_as_soon_as_a_line_comes(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "--tokenizer", "byte", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    ) as process:
        for text, ids in ((b"a\n", b"97\n"), (b"b\nc", b"98\n"), (b"d\n", b"99 100\n")):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline() == ids  # would wait for ever if the answer came at the end
        process.stdin.close()
        assert process.wait() == 0


def test_a_reader_that_goes_away_ends_a_filter_in_silence(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"yes some text | {sys.executable} -m lmtool tokenize --tokenizer byte - | head -n 1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert (done.stdout.count("\n"), done.stderr) == (1, "")


# misuse -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-"], 2, "no tokenizer given"),
        (["--tokenizer", "word", "-"], 2, "tokenizer 'word' learns its vocabulary from training text"),
        (["--tokenizer", "wrod", "-"], 3, "no tokenizer named 'wrod' (did you mean 'word'?)"),
        (["--tokenizer", "byte", "--with", "x", "-"], 2, "give either"),
        (["--tokenizer", "byte", "--train", "train.txt"], 2, "nothing says where"),
        (["--tokenizer", "byte", "train.txt", "-o", "d"], 2, "train.txt belongs to no split"),
        (["--tokenizer", "byte", "-o", "d"], 2, "no text"),
        (["--tokenizer", "byte", "--tokens", "--train", "train.txt", "-o", "d"], 2, "--tokens is for use as a filter"),
        (["--tokenizer", "byte", "--json", "-"], 2, "--json is for making a dataset"),
        (["--tokenizer", "byte", "--tokens", "--decode", "-"], 2, "--decode reads ids"),
        (["--tokenizer", "byte", "--reader", "jsonl", "more.jsonl"], 2, "--reader jsonl is for making a dataset"),
        (["--with", "x", "--set", "tokenizer.eos=</s>", "-"], 2, "--set tokenizer.eos is for learning a tokenizer"),
        (["--tokenizer", "byte", "--train", "train.txt", "-o", "."], 1, ". cannot be made a dataset"),
        (["--tokenizer", "char", "--valid", "train.txt", "-o", "d"], 2, "learns its vocabulary"),
        (["--tokenizer", "char", "--train", "train.txt", "-o", "d", "--set", "tokenizer.size=9"], 2, "tokenizer.size"),
        (["--tokenizer", "char", "--train", "train.txt", "-o", "d", "--set", "tokenizer=9"], 2, "must be a table"),
        (["--tokenizer", "byte", "--train", "x:y", "-o", "d"], 1, "no file x:y, and no reader named 'x'"),
        (["--tokenizer", "byte", "--train", "builtin:pydok", "-o", "d"], 1, "no built-in text 'pydok'"),
        (["--with", "nowhere", "-"], 1, "no file or folder nowhere"),
        (["--with", ".", "-"], 1, "no tokenizer in ."),
        (["--with", "train.txt", "-"], 1, "train.txt is no tokenizer.json"),
        (["--tokenizer", "byte", "nowhere.txt"], 1, "nowhere.txt"),
        (
            ["--tokenizer", "byte", "--train", "train.txt", "-o", "train.txt"],
            1,
            "train.txt exists and is not a dataset",
        ),
        (["--tokenizer", "byte", "--train", "train.txt", "-o", "train.txt/d"], 1, "train.txt"),
    ],
)
def test_misuse_is_one_line_and_a_code(texts, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(texts)
    before = sorted(os.listdir(texts))

    with pytest.raises(SystemExit) as ended:
        run(["tokenize", *arguments])

    out, err = capsys.readouterr()
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert all(line.startswith("hint: ") for line in rest)
    assert (ended.value.code, out) == (code, "")
    assert sorted(os.listdir(texts)) == before


@pytest.mark.parametrize("text", ["97 x\n", "97 256\n", "10\n", "-1\n", "1.5\n"])
def test_what_is_no_id_is_named(lmtool, text):
    done = lmtool("tokenize", "--tokenizer", "byte", "--decode", "-", input=text)

    assert done.code == 1
    assert f"'{text.split()[-1]}' is no id" in done.stderr


# signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)], ids=lambda x: str(x)
)
def test_a_signal_leaves_nothing_behind(tmp_path, number, code):
    (tmp_path / "big.txt").write_text(TINY_TEXT * 2000)  # 47 MB: other processes encode it
    process = subprocess.Popen(
        [*COMMAND, "--tokenizer", "word", "--train", "big.txt", "-o", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not any(tmp_path.glob(".out*/train-00000.npy")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)

    process.send_signal(number)
    out, err = process.communicate(timeout=300)

    assert process.returncode == code, err
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert os.listdir(tmp_path) == ["big.txt"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_processes_that_encode_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "small.txt").write_text(TINY_TEXT)
    (tmp_path / "big.txt").write_text(TINY_TEXT * 2000)
    texts = ["--train", "small.txt", "--valid", "big.txt"]  # bpe takes lines only: threads are no use to it
    process = subprocess.Popen(
        [*COMMAND, "--tokenizer", "bpe", *texts, "-o", "out"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )

    def children():
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
                return file.read().split()
        except OSError:
            return []

    deadline = time.monotonic() + 300
    while not (workers := children()):
        assert time.monotonic() < deadline
        if process.poll() is not None:
            pytest.skip("no other processes: a single core")
        time.sleep(0.01)
    process.kill()
    process.wait()

    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < deadline, "a process that encodes text has outlived its caller"
        time.sleep(0.05)


def test_a_text_that_is_learned_from_and_tested_on_is_a_warning(lmtool, tmp_path):
    (tmp_path / "a.txt").write_text("a b\n")
    (tmp_path / "copy.txt").write_text("a b\n")

    done = lmtool("-q", "tokenize", "--tokenizer", "word", "--train", "a.txt", "--test", "copy.txt", "-o", "out")

    assert done.code == 0
    assert done.stderr == "warning: copy.txt is in the test text and in the training text\n"


def test_documents_that_are_in_the_training_text_are_a_warning_and_a_fact_of_the_dataset(lmtool, tmp_path):
    rows = [json.dumps({"text": text, "label": "x"}) + "\n" for text in ("a", "b", "c")]
    (tmp_path / "train.jsonl").write_text("".join(rows[:2]))
    (tmp_path / "test.jsonl").write_text("".join(rows[1:]))
    text = ["--train", "train.jsonl", "--test", "test.jsonl", "--label", "label"]

    done = lmtool("-q", "tokenize", "--tokenizer", "byte", *text, "-o", "out")
    shown, as_json = lmtool("info", "out"), lmtool("info", "out", "--json")

    assert done.stderr == "warning: 1 of 2 test documents is in the training text, too\n"
    assert "2 documents (1 in the training text, too)" in shown.stdout
    assert as_json.json["splits"]["test"]["documents_in_train"] == 1
