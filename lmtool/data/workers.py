"""Processes that encode blocks of text.

They are started as `python -c …`, not by `multiprocessing`: nothing is forked from a process with threads (JAX's, say),
the caller's main module is not imported again, and a worker ends by itself when its caller has gone, even by SIGKILL,
because its stdin ends then. What goes through the pipes is pickled by us for us.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import traceback
from typing import IO, TYPE_CHECKING, Any, Self, cast

from lmtool.data.blocks import encode_block
from lmtool.errors import LmtoolError

if TYPE_CHECKING:
    from types import TracebackType

    from lmtool.api import Tokenizer
    from lmtool.data.blocks import Block, Encoded

_COMMAND = "from lmtool.data.workers import main; main()"


class Workers:
    """Processes that each hold a copy of a tokenizer. `encode` may be called from several threads.

    Args:
        tokenizer: A picklable value.
        processes: How many to start; they start while the caller goes on.
    """

    def __init__(self, tokenizer: Tokenizer, processes: int) -> None:
        self._all = [_start() for _ in range(processes)]
        self._tokenizer = pickle.dumps(tokenizer, protocol=pickle.HIGHEST_PROTOCOL)
        self._fresh = set(self._all)
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def encode(self, block: Block) -> Encoded:
        """What `encode_block` gives, from whichever process is idle; raises what it raises."""
        worker = self._idle.get()
        try:
            return cast("Encoded", self._ask(worker, block))
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            status = worker.wait()
            raise RuntimeError(f"a process that encodes text ended with status {status}; out of memory?") from None
        finally:
            self._idle.put(worker)

    def _ask(self, worker: subprocess.Popen[bytes], block: Block) -> Any:
        requests, answers = cast("IO[bytes]", worker.stdin), cast("IO[bytes]", worker.stdout)
        if worker in self._fresh:
            requests.write(self._tokenizer)
            self._fresh.discard(worker)
        pickle.dump(block, requests, protocol=pickle.HIGHEST_PROTOCOL)
        requests.flush()
        answer = pickle.load(answers)
        if isinstance(answer, LmtoolError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(f"the tokenizer failed in another process:\n{answer}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes: whatever they are still at is not wanted."""
        for worker in self._all:
            worker.kill()
        for worker in self._all:
            for pipe in (worker.stdin, worker.stdout):
                with contextlib.suppress(OSError):
                    cast("IO[bytes]", pipe).close()
            worker.wait()


def _start() -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TOKENIZERS_PARALLELISM": "false",  # the cores are taken
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,  # Ctrl-C is for the caller, who then ends us
    )


def main() -> None:
    """The life of a worker: a tokenizer, then blocks, on stdin; what became of each on stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a plugin prints must not come between
    with contextlib.suppress(EOFError, BrokenPipeError):
        tokenizer = pickle.load(sys.stdin.buffer)
        while True:
            block = pickle.load(sys.stdin.buffer)
            answer: Any
            try:
                answer = encode_block(tokenizer, block)
            except LmtoolError as error:
                answer = error
            except Exception:
                answer = traceback.format_exc()
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
