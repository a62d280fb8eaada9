"""Stands for `python -m lmtool.tuning.child CORES PARENT train CONFIG -o RUN --quiet`, in milliseconds.

The validation loss falls by 1 an epoch, at the end to a parabola over log10(rate) with its minimum at 0.01. A rate
above 1 diverges; with a file `full` beside the config all fail. Each epoch takes `model.seconds`; SIGTERM ends it with
75, and it goes on later.
What it does is told in a file `events` beside the config.
"""

import json
import math
import os
import signal
import sys
import time
import tomllib
from pathlib import Path

cores, parent, command, file, _, run, _ = sys.argv[1:]
assert command == "train"
config = tomllib.loads(Path(file).read_text())
rate, epochs, seconds = config["optimizer"]["rate"], config["training"]["epochs"], config["model"]["seconds"]
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
run = Path(run)
metrics = run / "metrics.jsonl"
record = {
    "format": "lmtool-run",
    "version": 1,
    "state": "started",
    "components": [],
    "dataset": {"key": ""},
    "result": {},
}


def tell(event):
    with (run.parent / "events").open("a") as events:
        events.write(f"{event} {run.name} {cores} {time.monotonic()} {os.getpid()}\n")


tell("begin")
run.mkdir(exist_ok=True)
(run / "run.json").write_text(json.dumps(record))
if (run.parent / "full").exists():
    print("error: the disk is full\nhint: buy another", file=sys.stderr)
    sys.exit(1)
done = len(metrics.read_text().splitlines()) if metrics.exists() else 0
for epoch in range(done + 1, epochs + 1):
    time.sleep(seconds)
    if stopped:
        tell("saved")
        sys.exit(75)
    if rate > 1:
        print("error: the loss is nan", file=sys.stderr)
        sys.exit(4)
    loss = math.log10(rate / 0.01) ** 2 + epochs - epoch
    with metrics.open("a") as log:
        log.write(json.dumps({"kind": "valid", "step": 10 * epoch, "epoch": float(epoch), "loss": loss}) + "\n")
(run / "run.json").write_text(json.dumps({**record, "state": "finished", "result": {"step": 10 * epochs}}))
tell("end")
assert os.getppid() == int(parent)
