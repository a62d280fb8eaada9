"""Several processes that train one run together: what the first does for all, and what they decide in common.

They speak through the service of `jax.distributed`, which process 0 keeps, so that waiting for each other needs no
device: collectives between CPUs give up after half a minute.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from lmtool import errors
from lmtool.errors import ExitCode, LmtoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.devices import DeviceOptions

Result = TypeVar("Result")
Error = TypeVar("Error", bound=LmtoolError)

ASK_AGAIN = 2000
"""Milliseconds after which one that waits looks whether it was sent a signal. How long it waits in all has no limit:
a validation or a tokenization may take long. If a process dies, JAX ends the waiting."""


class Processes:
    """Those that train together; by default this one alone.

    Args:
        index: Of this one. Process 0 alone writes files.
        count: Of all.
    """

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.index, self.count = index, count
        self._messages = 0
        self._known: BaseException | None = None
        """What all processes raise."""

    @classmethod
    def join(cls, options: DeviceOptions) -> Processes:
        """Find the others, if there are any to be found.

        Raises:
            UsageError: if the options make no sense, or nobody answers.
        """
        if not options.check().in_processes:
            return cls()
        from lmtool.jax_setup import join_processes

        return cls(*join_processes(options))

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def first(self, work: Callable[[], Any]) -> Any:
        """What process 0 alone does, and its result, a JSON value, for all; the others wait.

        Raises:
            LmtoolError: in all processes, if `work` raises one. Whatever else it raises ends all of them, too.
        """
        if self.count == 1:
            return work()
        return self._do(work) if self.is_first else self._hear()

    def in_turn(self, work: Callable[[], Result], then: Callable[[], Result] | None = None) -> Result:
        """Process 0 does something, then the others do it, too, or `then`, which finds what it made.

        Nobody goes on before all have done it: to read a text may take longer than collectives wait.

        Raises:
            LmtoolError: in all processes, if it fails in one.
        """
        made: list[Result] = []
        self.first(lambda: made.append(work()))
        if not self.is_first:
            made.append(self._do(then or work, told=False))
        if self.count > 1:
            self.first(self._hear_others)
        return made[0]

    def of_first(self, tree: Any) -> Any:
        """A pytree of arrays, to the bit as process 0 has it; the others' must have the same shapes and types."""
        if self.count == 1:
            return tree
        import jax
        import numpy as np
        from jax.experimental.multihost_utils import broadcast_one_to_all

        def send(leaf: Any) -> Any:
            # As bytes, since a broadcast is a sum, in which -0.0 would become 0.0.
            data = np.frombuffer(np.asarray(leaf).tobytes(), np.uint8)
            received = np.asarray(broadcast_one_to_all(data)) if data.size else data
            return np.frombuffer(received.tobytes(), leaf.dtype).reshape(leaf.shape)

        return jax.tree.map(send, tree)

    def of_all(self, known: Error) -> Error:
        """An error that comes of figures and flags that are the same everywhere, so that every process raises it."""
        self._known = known
        return known

    def _do(self, work: Callable[[], Result], *, told: bool = True) -> Result:
        """Do something, and tell the others how it went: the result to all, or to process 0 only that there is one."""
        try:
            value = work()
        except Exception as error:
            self._known = error
            self._say(_described(error, self.index))
            raise
        self._say({"value": value if told else None})
        return value

    def _say(self, message: dict[str, Any]) -> None:
        if self.is_first:
            self._messages += 1
        _service().key_value_set(self._key(self.index), json.dumps(message))

    def _hear(self) -> Any:
        """What process 0 says next."""
        self._messages += 1
        return self._heard(0)

    def _hear_others(self) -> None:
        """What each says of its turn, after what process 0 said last."""
        for index in range(1, self.count):
            self._heard(index)

    def _heard(self, index: int) -> Any:
        message = json.loads(_wait_for(self._key(index)))
        if "error" not in message:
            return message["value"]
        self._known = getattr(errors, message["error"])(message["message"], message["hint"])
        raise self._known

    def _key(self, index: int) -> str:
        return f"lmtool/{self._messages}/{index}"

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """If the body fails in this process alone, end at once: at an orderly end the processes wait for each other.

        Raises:
            LmtoolError: where another process is gone.
        """
        if self.count == 1:
            yield
            return
        try:
            with _nothing_to_stdout():
                yield
        except BaseException as error:
            if error is self._known:
                raise
            _leave_at_once(error)
            if _is_of_lost_process(error):
                raise LmtoolError(
                    f"process {self.index} has lost another: {str(error).partition(chr(10))[0]}",
                    hint="the other's own error says why; run the same command again in all processes to go on",
                ) from error
            raise


@contextlib.contextmanager
def _nothing_to_stdout() -> Iterator[None]:
    """What libraries print there goes to stderr: Gloo tells of its connections, and the answer is to stand alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _service() -> Any:
    """The client of the coordination service. JAX has no public name for it; Orbax and Flax take it from here, too."""
    from jax._src import distributed

    return distributed.global_state.client


def _wait_for(key: str) -> str:
    from jax.errors import JaxRuntimeError

    while True:
        try:
            return str(_service().blocking_key_value_get(key, ASK_AGAIN))
        except JaxRuntimeError as error:
            if not str(error).startswith("DEADLINE_EXCEEDED"):
                raise


def _described(error: Exception, index: int) -> dict[str, Any]:
    """For the other processes: a plugin's own kind of `LmtoolError` as the kind of ours that it is one of."""
    if not isinstance(error, LmtoolError):
        return {"error": "LmtoolError", "message": f"process {index} failed: {type(error).__name__}", "hint": None}
    kinds = [one.__name__ for one in type(error).__mro__]
    kind = next(name for name in kinds if hasattr(errors, name))
    return {"error": kind, "message": error.message, "hint": error.hint}


def _is_of_lost_process(error: BaseException) -> bool:
    """Whether what was computed together could not be; too little memory is this process's own trouble."""
    from jax.errors import JaxRuntimeError

    return isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error)


def _leave_at_once(error: BaseException) -> None:
    """End this process after its last words, without the farewell that JAX would wait minutes for."""
    if isinstance(error, LmtoolError):
        code = error.exit_code
    else:
        code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.FAILED

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)

    atexit.register(leave)


__all__ = ["Processes"]
