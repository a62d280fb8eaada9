"""A peer of `classify.py`: the classifier in Keras, as articles have it. Needs tensorflow.

`pad_sequences` gives all documents the same width, padding first; `fit` and `predict` make batches of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np  # noqa: TID253 - a program of its own
from classify_batches import Padded, Turns


class Stopwatch(keras.callbacks.Callback):
    """Measures from the first batch to the last one, without the preparation of `fit` and `predict`."""

    total = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.total = time.perf_counter() - self._start

    def on_predict_begin(self, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_predict_end(self, logs: Any = None) -> None:
        self.total = time.perf_counter() - self._start


def classifier(settings: dict[str, Any]) -> Any:
    layers = [
        keras.layers.Embedding(settings["vocab"], settings["size"]),
        keras.layers.LSTM(settings["size"]),
        keras.layers.Dense(settings["classes"], activation="softmax"),
    ]
    model = keras.Sequential(layers)
    adam = keras.optimizers.Adam(settings["learning_rate"])
    model.compile(loss="sparse_categorical_crossentropy", optimizer=adam, metrics=["accuracy"])
    return model


def arrays(batches: list[Padded], settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    documents = [ids for batch in batches for ids in batch.documents()]
    inputs = keras.utils.pad_sequences(documents, maxlen=settings["max_length"], value=settings["filler"])
    return inputs, np.concatenate([batch.targets for batch in batches])


def main() -> None:
    settings = json.loads(sys.argv[1])
    keras.utils.set_random_seed(0)
    model = classifier(settings)
    is_training = settings["work"] == "train"
    turns = Turns(Path(settings["folder"]) / ("train.npz" if is_training else "test.npz"), settings["first"])
    for line in sys.stdin:
        inputs, targets = arrays(turns.take(int(line)), settings)
        watch = Stopwatch()
        options: dict[str, Any] = {"batch_size": settings["batch"], "verbose": 0, "callbacks": [watch]}
        if is_training:
            model.fit(inputs, targets, epochs=1, **options)
        else:
            model.predict(inputs, **options)
        print(json.dumps({"total": watch.total}), flush=True)


if __name__ == "__main__":
    main()
