"""The n-gram model beside KenLM in one run, alternating: time, memory, size, perplexity, and whether they are the same.

    python benchmarks/ngram.py CORPUS… --heldout FILE [--order 5] [--rounds 3]

`lmplz`, `build_binary` and `query` are looked for on the PATH, the `kenlm` module among what this Python can import;
what is missing is left out. CORPUS is text, also .gz and .xz. Both sides get the same words, with one space
between them. Ratios are lmtool over KenLM: below 1 lmtool is faster or smaller.

    --speed             score the held-out text, from the shell and, on one core, from Python
    --compare           n-gram by n-gram against the ARPA file of lmplz, after `--prune` if given
    --memory "256 MB"   train once more within this budget; the model must be the same
    --scaling 10 20 40  the time per token on so many MB of the corpus
    --skip-unknown      the text has `<unk>` as a word: leave it out, on both sides
    --characters        characters are the words, white space is ▁

Peak memory is the high-water mark of each process, asked for twenty times a second; where one has children, the sum of
their proportional shares.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from processes import Step, run

from lmtool.data.sources import read_chunks

LMTOOL = [sys.executable, "-m", "lmtool", "--quiet"]
MB = 1 << 20

# What is timed for scoring, each in a process of its own on one core: text or ids in, log-probabilities out. The text
# is scored twice and the second time counts, so that all of the model is in memory.
SCORE = {
    "kenlm module": """
import os, sys, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import kenlm
model = kenlm.Model(sys.argv[1]); lines = open(sys.argv[2], encoding="utf-8").read().split("\\n")[:-1]
for _ in range(2):
    start = time.perf_counter()
    for line in lines: model.score(line)
print(time.perf_counter() - start)
""",
    "lmtool, from text": """
import os, sys, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from lmtool.run import Run
from lmtool.scoring import score_lines
run = Run.open(sys.argv[1]); model, tokenizer = run.language_model(), run.tokenizer
lines = open(sys.argv[2], encoding="utf-8").read().splitlines(keepends=True)
texts = ["".join(lines[i : i + 4096]) for i in range(0, len(lines), 4096)]
for _ in range(2):
    start = time.perf_counter()
    for text in texts: score_lines(model, tokenizer, text).log_probs
print(time.perf_counter() - start)
""",
    "lmtool, from ids": """
import os, sys, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from lmtool.run import Run
run = Run.open(sys.argv[1]); model = run.language_model()
ids = run.tokenizer.encode_text(open(sys.argv[2], encoding="utf-8").read())
for _ in range(2):
    start = time.perf_counter()
    for i in range(0, len(ids), 1 << 17): model.score(ids[None, i : i + (1 << 17)], model.initial_state(1))
print(time.perf_counter() - start)
""",
}


# What is run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A text and how it is modelled."""

    text: Path
    folder: Path
    options: argparse.Namespace

    @property
    def settings(self) -> list[str]:
        """Of `lmtool train`."""
        given = {"order": self.options.order, "prune": list(self.options.prune) or None}
        given["unknown"] = "skip" if self.options.skip_unknown else None
        return [part for name, value in given.items() if value for part in ("--set", f"model.{name}={value}")]

    def lmplz(self) -> dict[str, Step]:
        """ARPA file and binary; discounts that cannot be estimated are replaced only where lmplz aborts."""
        arpa, binary = self.folder / "lm.arpa", self.folder / "lm.binary"
        command = ["lmplz", "-o", str(self.options.order), "-S", "4G", "-T", str(self.folder / "tmp-")]
        command += ["--prune", *map(str, self.options.prune)] if self.options.prune else []
        command += ["--skip_symbols"] if self.options.skip_unknown else []
        step = run(command, stdin=self.text, stdout=arpa, check=False)
        if step.code:
            command.append("--discount_fallback")
            step = run(command, stdin=self.text, stdout=arpa)
        return {
            shlex.join(command[:1] + command[7:]): step,
            "build_binary": run(["build_binary", str(arpa), str(binary)]),
        }

    def lmtool(self, name: str = "run", *settings: str) -> dict[str, Step]:
        """Dataset and run."""
        data, model = self.folder / "data", self.folder / name
        for old in (data, model):
            shutil.rmtree(old, ignore_errors=True)
        tokenize = [*LMTOOL, "tokenize", "--tokenizer", "word", "--train", str(self.text), "-o", str(data)]
        train = [*LMTOOL, "train", "--model", "ngram", *self.settings, *settings, "--data", str(data), "-o", str(model)]
        return {"lmtool tokenize": run(tokenize), "lmtool train": run(train)}


def prepare(names: list[str], path: Path, *, characters: bool, limit: float = float("inf")) -> Path:
    """The words of some sources, one space between them, as one plain text of at most so many bytes.

    `<s>` and `</s>`, which `lmplz` refuses, are left out.
    """
    size = 0
    with path.open("w", encoding="utf-8") as file:
        for name in names:
            text = b"".join(read_chunks(name)).decode()
            for line in text.removesuffix("\n").split("\n"):
                words = re.sub(r"\s", "▁", line.strip()) if characters else line.split()
                words_line = " ".join(words)
                if "s>" in words_line:
                    words_line = " ".join(word for word in words if word not in ("<s>", "</s>"))
                if (size := size + len(words_line.encode()) + 1) > limit:
                    return path
                file.write(words_line + "\n")
    return path


# What is said ---------------------------------------------------------------------------------------------------------


def build(job: Job, rounds: int, has_kenlm: bool) -> None:
    """Text to queryable model."""
    print(f"text to model, order {job.options.order}, {job.text.stat().st_size / MB:.1f} MB, median of {rounds}")
    taken: dict[str, list[Step]] = {}
    for _ in range(rounds):
        for steps in (job.lmplz() if has_kenlm else {}, job.lmtool()):
            for name, step in steps.items():
                taken.setdefault(name, []).append(step)
    for name, steps_ in taken.items():
        say(name, f"{median(steps_):8.2f} s {max(step.peak for step in steps_) / MB:8.0f} MB")
    if has_kenlm:
        ours, theirs = (
            [steps_ for name, steps_ in taken.items() if ("lmtool" in name) == ours] for ours in (True, False)
        )
        totals = [sum(map(median, side)) for side in (ours, theirs)]
        peaks = [max(step.peak for steps_ in side for step in steps_) for side in (ours, theirs)]
        say("lmtool / KenLM", f"{totals[0] / totals[1]:8.2f} × {peaks[0] / peaks[1]:8.2f} ×")
    sizes(job, has_kenlm)


def sizes(job: Job, has_kenlm: bool) -> None:
    ours = sum(file.stat().st_size for file in (job.folder / "run" / "model").iterdir())
    say("model on disk", f"{ours / MB:8.1f} MB")
    if has_kenlm:
        theirs = (job.folder / "lm.binary").stat().st_size
        say("lm.binary (probing)", f"{theirs / MB:8.1f} MB, lmtool / KenLM {ours / theirs:.2f} ×")


def perplexity(job: Job, heldout: Path, has_kenlm: bool) -> None:
    """On text that was not learned from."""
    answer = run([*LMTOOL, "eval", str(job.folder / "run"), "--on", str(heldout), "--json"]).output
    metric = json.loads(answer)["results"][0]["metrics"]["token_perplexity"]
    print(f"on {heldout.stat().st_size / MB:.1f} MB, {metric['n']} tokens")
    say("perplexity, lmtool", f"{metric['value']:.6f}")
    if not has_kenlm:
        return
    exported, binary = job.folder / "exported.arpa", job.folder / "exported.binary"
    step = run([*LMTOOL, "export", str(job.folder / "run"), "--to", "arpa", "-o", str(exported)])
    run(["build_binary", str(exported), str(binary)])
    say("lmtool export", f"{step.seconds:8.2f} s {step.peak / MB:8.0f} MB")
    for name, model in (("query", job.folder / "lm.binary"), ("query of lmtool's ARPA file", binary)):
        output = run(["query", "-v", "summary", str(model)], stdin=heldout).output
        theirs = next(float(line.split()[-1]) for line in output.splitlines() if "including OOVs" in line)
        say(f"perplexity, {name}", f"{theirs:.6f}, relative difference {metric['value'] / theirs - 1:+.1e}")
    exported.unlink()
    binary.unlink()


def speed(job: Job, heldout: Path, rounds: int) -> None:
    """Of scoring the same text, from the shell and from Python."""
    run_, binary = str(job.folder / "run"), str(job.folder / "lm.binary")
    commands = {
        "query -v summary": (["query", "-v", "summary", binary], heldout),
        "lmtool score": ([*LMTOOL, "score", run_, str(heldout)], None),
        "lmtool score --summary": ([*LMTOOL, "score", "--summary", run_, str(heldout)], None),
    }
    with heldout.open(encoding="utf-8", newline="\n") as lines:
        tokens = sum(len(line.split()) + 1 for line in lines)  # an empty line has its end alone
    times: dict[str, list[float]] = {name: [] for name in (*commands, *SCORE)}
    for _ in range(rounds):
        for name, (command, stdin) in commands.items():
            times[name].append(run(command, stdin=stdin, stdout=job.folder / "scores").seconds)
        for name, code in SCORE.items():
            ours = name.startswith("lmtool")
            step = run([sys.executable, "-c", code, run_ if ours else binary, str(heldout)], check=ours)
            times[name] += [] if step.code else [float(step.output)]
    for name, values in times.items():
        middle = statistics.median(values or [float("nan")])
        say(name, f"{middle:8.2f} s {tokens / middle / 1e6:8.2f} M tokens/s")
    ratio(times, "lmtool score", "query -v summary")
    ratio(times, "lmtool score --summary", "query -v summary")
    ratio(times, "lmtool, from text", "kenlm module")
    ratio(times, "lmtool, from ids", "kenlm module")


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> None:
    if times[ours] and times[theirs]:
        say(f"{ours} / {theirs}", f"{statistics.median(times[ours]) / statistics.median(times[theirs]):8.2f} ×")


def compare(job: Job) -> None:
    """Every n-gram's probability and back-off."""
    import numpy as np

    from lmtool.run import Run
    from lmtool_ngram.arpa.model import read

    opened = Run.open(job.folder / "run")
    ours, theirs = opened.language_model(), read(str(job.folder / "lm.arpa"), opened.tokenizer)
    print("n-gram by n-gram against lmplz: largest difference of log10")
    for n, (one, other) in enumerate(zip(ours.levels, theirs.levels, strict=True), start=1):  # type: ignore[attr-defined]
        if len(one) != len(other) or (one.words != other.words).any() or (one.starts != other.starts).any():
            say(f"order {n}", f"other n-grams: {len(one)} in lmtool, {len(other)} in lmplz")
            return
        worst = [
            float(np.abs(getattr(one, name) - getattr(other, name)).max(initial=0) / np.log(10))
            for name in ("log_probs", "log_backoffs")
        ]
        say(f"order {n}", f"{len(one):10d} n-grams, probabilities {worst[0]:.1e}, back-offs {worst[1]:.1e}")


def bounded(job: Job, memory: str) -> None:
    """The same model within a budget."""
    step = job.lmtool("bounded", "--set", f"model.memory={memory}")["lmtool train"]
    sums = [(job.folder / name / "model" / "SHA256SUMS").read_text() for name in ("run", "bounded")]
    lines = [{line for line in one.splitlines() if ".json" not in line} for one in sums]
    same = "the same model" if lines[0] == lines[1] else "ANOTHER MODEL"
    print(f'memory = "{memory}"')
    say("lmtool train", f"{step.seconds:8.2f} s {step.peak / MB:8.0f} MB at most, {same}")


def scaling(job: Job, sizes_: list[float], names: list[str]) -> None:
    """Time per token on growing parts of the corpus."""
    print("time per token")
    first = None
    for size in sizes_:
        text = prepare(names, job.folder / "part.txt", characters=job.options.characters, limit=size * MB)
        steps = Job(text, job.folder, job.options).lmtool("part")
        record = json.loads((job.folder / "data" / "dataset.json").read_text())
        tokens = record["splits"]["train"]["counts"]["tokens"]
        each = [1e9 * step.seconds / tokens for step in steps.values()]
        first = first or sum(each)
        say(f"{text.stat().st_size / MB:.1f} MB", f"{sum(each):8.0f} ns ({each[0]:.0f} tokenize, {each[1]:.0f} train), "
            f"{sum(each) / first:.2f} × the first")  # fmt: skip


def median(steps: list[Step]) -> float:
    return statistics.median(step.seconds for step in steps)


def say(name: str, figure: str) -> None:
    print(f"  {name:38s} {figure}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--heldout", nargs="+", default=[])
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--prune", type=int, nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--memory")
    parser.add_argument("--scaling", type=float, nargs="+", default=[], metavar="MB")
    parser.add_argument("--skip-unknown", action="store_true")
    parser.add_argument("--characters", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if left out")
    options = parser.parse_args()
    has_kenlm = all(map(shutil.which, ("lmplz", "build_binary", "query")))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        os.environ["LMTOOL_CACHE"] = str(folder / "cache")
        job = Job(prepare(options.corpus, folder / "train.txt", characters=options.characters), folder, options)
        warm_up(folder, options)
        build(job, options.rounds, has_kenlm)
        if options.heldout:
            heldout = prepare(options.heldout, folder / "heldout.txt", characters=options.characters)
            perplexity(job, heldout, has_kenlm)
            if options.speed and has_kenlm:
                speed(job, heldout, options.rounds)
        if options.compare and has_kenlm:
            compare(job)
        if options.memory:
            bounded(job, options.memory)
        if options.scaling:
            scaling(job, options.scaling, options.corpus)


def warm_up(folder: Path, options: argparse.Namespace) -> None:
    """Loops are compiled once a machine; it is not what is measured."""
    text = prepare(options.corpus, folder / "part.txt", characters=options.characters, limit=MB)
    Job(text, folder, options).lmtool("warm")
    run([*LMTOOL, "eval", str(folder / "warm"), "--on", str(text)])
    run([*LMTOOL, "export", str(folder / "warm"), "--to", "arpa", "-o", os.devnull])


if __name__ == "__main__":
    main()
