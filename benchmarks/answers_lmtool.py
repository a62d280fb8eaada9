"""Our side of `answers.py`: the run's model as `lmtool eval` asks it. "write" leaves weights and texts to the peer."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253 - a program of its own

from lmtool.data.dataset import Dataset
from lmtool.heap import keep_heap
from lmtool.jax_setup import prepare_jax
from lmtool.run import Run
from lmtool.settings import DecodingConfig


def write(settings: dict[str, Any], run: Run) -> None:
    from safetensors.numpy import load_file

    weights = load_file(run.path / "model" / "weights.safetensors")
    np.savez(Path(settings["folder"]) / "weights.npz", **{name.replace(".", "/"): one for name, one in weights.items()})
    documents = list(Dataset.open(settings["data"]).split("test").documents())
    model: Any = run.text_model()
    read = [np.asarray(one, np.int64) for one in model._sources(documents)]
    facts = {"eos_id": model.known.target_eos_id, "cell": run.config["model"]["name"]}
    (Path(settings["folder"]) / "facts.json").write_text(json.dumps(facts))
    np.savez(Path(settings["folder"]) / "texts.npz", **{f"{number:06}": ids for number, ids in enumerate(read)})


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.environ["JAX_PLATFORMS"] = "cpu"
    keep_heap()  # as `lmtool eval` does
    prepare_jax()
    run = Run.open(settings["run"])
    if settings.get("work") == "write":
        write(settings, run)
        return
    model, documents = run.text_model(), list(Dataset.open(settings["data"]).split("test").documents())
    how = DecodingConfig.model_validate({"beam": settings["beam"], "max_length": settings["length"]})
    for _ in sys.stdin:
        start = time.perf_counter()
        found = model.generate(documents, how)
        seconds = time.perf_counter() - start
        print(json.dumps({"total": seconds, "ids": [some[0].ids.tolist() for some in found]}), flush=True)


if __name__ == "__main__":
    main()
