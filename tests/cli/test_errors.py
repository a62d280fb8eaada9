"""Every error that a user can cause: one clear line, the documented exit code, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmtool.testing.corpus import TINY_TEXT

FAILED, USAGE, PLUGIN = 1, 2, 3


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with text files, a word dataset, a char dataset and an n-gram run, never written to by tests."""
    folder = tmp_path_factory.mktemp("made")

    def run(*arguments):
        subprocess.run([sys.executable, "-m", "lmtool", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "train.txt").write_text(TINY_TEXT)
    (folder / "valid.txt").write_text(TINY_TEXT[: len(TINY_TEXT) // 4])
    splits = ("--train", "train.txt", "--valid", "valid.txt", "--test", "valid.txt")
    run("tokenize", "--tokenizer", "word", *splits, "-o", "words")
    run("tokenize", "--tokenizer", "char", *splits, "-o", "chars")
    run("train", "--model", "ngram", "--data", "words", "-o", "run", "--set", "model.order=3")
    return folder


@pytest.fixture
def work(made, tmp_path):
    """The empty folder that `lmtool` runs in, with copies of everything in `made`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def entries(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def check(lmtool, arguments, code, *parts, input=""):
    """The command ends with `code`, one `error:` line that holds all `parts`, and leaves the folder as it was."""
    before = entries(lmtool.cwd)

    done = lmtool(*arguments, input=input)

    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert "Traceback" not in done.stderr, done.stderr
    assert done.code == code, (done.code, done.stderr)
    assert len(errors) == 1, done.stderr
    for part in parts:
        assert part in errors[0], (part, errors[0])
    assert done.stdout == ""
    assert entries(lmtool.cwd) == before
    return done


# reading text


def make_missing(path):
    pass


def make_empty(path):
    path.write_text("")


def make_binary(path):
    path.write_bytes(b"text\n\x00\x01\x02binary\n")


def make_latin1(path):
    path.write_bytes("fine\ncaf\xe9\n".encode("latin-1"))


def make_unreadable_gzip(path):
    path.write_bytes(b"\x1f\x8b\x08\x00 this is no gzip stream")


BAD_TEXT = {
    "missing": ("x.txt", make_missing, ["x.txt"]),
    "empty": ("x.txt", make_empty, ["x.txt", "empty"]),
    "binary": ("x.txt", make_binary, ["x.txt", "binary"]),
    "invalid utf-8": ("x.txt", make_latin1, ["x.txt", "UTF-8"]),
    "damaged gzip": ("x.txt.gz", make_unreadable_gzip, ["x.txt.gz"]),
    "bad json": ("x.jsonl", lambda path: path.write_text('{"text": "a"}\n{"text": \n'), ["x.jsonl", "2"]),
    "missing field": ("x.jsonl", lambda path: path.write_text('{"body": "a"}\n'), ["x.jsonl", "'text'"]),
}


@pytest.mark.parametrize(("name", "make", "parts"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_text_that_cannot_be_read_is_named_by_tokenize(lmtool, tmp_path, name, make, parts):
    make(tmp_path / name)

    check(lmtool, ["tokenize", "--tokenizer", "word", "--train", name, "-o", "out"], FAILED, *parts)


@pytest.mark.parametrize(("name", "make", "parts"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_text_that_cannot_be_read_is_named_by_train(lmtool, tmp_path, name, make, parts):
    make(tmp_path / name)

    check(lmtool, ["train", "--model", "ngram", "--data", name, "-o", "out"], FAILED, *parts)


@pytest.mark.parametrize(("name", "make", "parts"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_text_that_cannot_be_read_is_named_by_eval(lmtool, work, name, make, parts):
    make(work / name)

    check(lmtool, ["eval", "run", "--on", name], FAILED, *parts)


@pytest.mark.parametrize("name", ["binary", "invalid utf-8"])
@pytest.mark.parametrize(
    "command", [["tokenize", "--tokenizer", "byte", "-"], ["score", "run", "-"]], ids=lambda c: c[0]
)
def test_stdin_that_is_no_text_is_an_error(lmtool, work, name, command):
    _, make, parts = BAD_TEXT[name]
    make(work / "x")

    before = entries(work)
    done = lmtool(*command, input=(work / "x").read_bytes())

    assert done.code == FAILED
    assert done.stderr.count("error: ") == 1
    assert parts[-1] in done.stderr
    assert entries(work) == before


def test_a_validation_text_that_cannot_be_read_leaves_no_dataset(lmtool, work):
    arguments = ["tokenize", "--tokenizer", "word", "--train", "train.txt", "--valid", "nowhere.txt", "-o", "out"]

    check(lmtool, arguments, FAILED, "nowhere.txt")


def test_a_glob_that_matches_nothing_is_named(lmtool):
    check(lmtool, ["tokenize", "--tokenizer", "word", "--train", "*.text", "-o", "out"], FAILED, "*.text")


# config and options


BAD_TRAIN = {
    "unknown key": (["--set", "model.ordr=3"], USAGE, ["model.ordr", "did you mean 'order'?"]),
    "wrong type": (["--set", "model.order=three"], USAGE, ["model.order must be a whole number, got 'three'"]),
    "out of range": (["--set", "model.order=11"], USAGE, ["model.order must be at most 10, got 11"]),
    "unknown section": (["--set", "modle.order=3"], USAGE, ["[modle]", "did you mean 'model'?"]),
    "unknown task": (["--task", "lmm"], PLUGIN, ["no task named 'lmm' (did you mean 'lm'?)"]),
    "unknown evaluator": (["--set", 'evaluation.evaluators=["x"]'], PLUGIN, ["no evaluator named 'x'"]),
}


@pytest.mark.parametrize(("options", "code", "parts"), BAD_TRAIN.values(), ids=BAD_TRAIN)
def test_a_wrong_setting_is_explained_before_anything_is_done(lmtool, work, options, code, parts):
    check(lmtool, ["train", "--model", "ngram", "--data", "words", "-o", "out", *options], code, *parts)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "--batch-size", "1"], "`--set training.batch_size=…` sets it"),
        (["eval", "run", "--batch-size", "1"], "`--set evaluation.batch_size=…` sets it"),
        (["eval", "run", "--epochs", "1"], "settings are given by `--set section.key=value`"),
        (["score", "run", "--batch-size", "1"], "`lmtool score --help` shows the options"),
        (["tokenize", "-o", "out", "--batch-size", "1"], "settings are given by `--set section.key=value`"),
        (["plugins", "check", "model", "lstm", "--seed", "1"], "settings are given by `--set key=value`"),
        (["generate", "run", "--set", "x=1"], "`lmtool generate --help` shows the options"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_option_that_there_is_not_is_no_way_to_the_next_mistake(lmtool, work, arguments, hint):
    done = lmtool(*arguments)

    assert done.code == USAGE
    assert done.stderr.splitlines()[-1].endswith(hint)


@pytest.mark.parametrize("kind", ["model", "tokenizer", "optimizer"])
def test_an_unknown_component_is_named_with_what_is_installed(lmtool, work, kind):
    arguments = {"model": ["--data", "words"], "tokenizer": ["--data", "train.txt"], "optimizer": ["--data", "words"]}[
        kind
    ]
    model = [] if kind == "model" else ["--model", "lstm"]

    check(
        lmtool,
        ["train", *model, f"--{kind}", "nope", *arguments, "-o", "out"],
        PLUGIN,
        f"no {kind} named 'nope'",
        "installed: ",
    )


def test_a_missing_config_file_is_named(lmtool):
    check(lmtool, ["train", "nowhere.toml", "-o", "out"], USAGE, "nowhere.toml")


def test_no_data_at_all_is_explained(lmtool):
    check(lmtool, ["train", "--model", "ngram", "-o", "out"], USAGE, "data")


# datasets and runs


def test_a_dataset_made_with_another_tokenizer_is_refused(lmtool, work):
    arguments = ["train", "--model", "ngram", "--data", "chars", "--tokenizer", "word", "-o", "out"]

    check(lmtool, arguments, FAILED, "chars", "tokenizer")


def test_a_run_is_not_evaluated_on_a_dataset_of_another_tokenizer(lmtool, work):
    check(lmtool, ["eval", "run", "--on", "chars"], FAILED, "chars", "tokenizer")


@pytest.mark.parametrize("command", ["eval", "score", "generate"])
def test_what_is_not_a_run_is_named(lmtool, work, command):
    check(lmtool, [command, "words"], FAILED, "words")
    check(lmtool, [command, "nowhere"], FAILED, "nowhere")


def test_a_folder_that_is_no_dataset_is_named(lmtool, work):
    (work / "folder").mkdir()

    check(lmtool, ["train", "--model", "ngram", "--data", "folder", "-o", "out"], FAILED, "folder")


def test_a_missing_split_names_those_that_exist(lmtool, work):
    assert lmtool("tokenize", "--tokenizer", "word", "--train", "train.txt", "-o", "only").code == 0
    assert lmtool("train", "--model", "ngram", "--data", "only", "-o", "small").code == 0

    check(lmtool, ["eval", "small", "--on", "test"], FAILED, "test", "train")


def damage(path: Path) -> None:
    """Cut a file in half, as a full disk or a broken copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("folder", ["words", "run"])
def test_any_damaged_file_is_found_and_never_a_traceback(lmtool, work, folder):
    command = {
        "words": ["train", "--model", "ngram", "--data", "words", "-o", "out"],
        "run": ["eval", "run", "--on", "valid.txt"],
    }
    files = [path for path in sorted((work / folder).rglob("*")) if path.is_file() and path.stat().st_size > 1]
    assert len(files) >= 3
    for path in files:
        if path.name == "metrics.jsonl" or "test" in path.parts or "valid" in path.parts:
            continue
        content = path.read_bytes()
        damage(path)

        done = lmtool(*command[folder])

        if done.code == 0 and path.suffix in {".npy", ".toml"}:
            shutil.rmtree(work / "out", ignore_errors=True)
        assert "Traceback" not in done.stderr, (path, done.stderr)
        assert done.code == FAILED, (path, done.stderr)
        assert done.stderr.count("error: ") == 1, (path, done.stderr)
        path.write_bytes(content)


# the disk


def limited(cwd: Path, limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run lmtool where no file can grow past `limit` bytes: what a full disk looks like to a program."""
    # The limit is set in a process of its own: to fork this one, where another test may have started JAX, is not safe.
    code = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "os.execv(sys.executable, [sys.executable, '-m', 'lmtool', *sys.argv[1:]])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ | {"LMTOOL_CACHE": str(cwd / "cache")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["tokenize", "--tokenizer", "char", "--train", "train.txt", "-o", "out"],
        ["train", "--model", "ngram", "--data", "words", "-o", "out"],
        ["train", "--model", "lstm", "--data", "words", "-o", "out", "--set", "training.max_steps=2"],
    ],
    ids=["tokenize", "train ngram", "train lstm"],
)
def test_a_full_disk_is_one_line_and_nothing_half_written(work, arguments):
    done = limited(work, 512, *arguments)

    assert done.returncode == FAILED, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "file too large" in errors[0]
    left = [path for path in work.rglob("*") if ".tmp" in path.name or path.name.startswith(".tmp")]
    assert left == []
    again = subprocess.run([sys.executable, "-m", "lmtool", *arguments], cwd=work, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["tokenize", "--tokenizer", "byte", "-"], ["score", "run", "-"], ["eval", "run"]])
def test_an_answer_that_cannot_be_written_is_an_error(work, command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lmtool", *command],
            cwd=work,
            input="a\n",
            text=True,
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert done.returncode == FAILED
    assert done.stderr.splitlines()[-2:] == [
        "error: no space left on device",
        "hint: free some space and run the same command again",
    ]


def test_a_reader_that_goes_away_is_no_error(work):
    command = f"yes some text | {sys.executable} -m lmtool score run - | head -n 1"

    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=work, capture_output=True, text=True)

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_an_output_folder_that_cannot_be_made_is_named(lmtool, work):
    (work / "file").write_text("in the way")

    check(lmtool, ["train", "--model", "ngram", "--data", "words", "-o", "file/run"], FAILED, "file")
