"""Compiled loops: what they compute, what they refuse, and what is kept of them."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lmtool.compiled import compiled

STEP = 1

CODE = """
import sys
import numpy as np
from lmtool.compiled import compiled

def twice(x):
    return 2 * x

@compiled("uint16[:], float64, float32[:], int64 -> int64", twice)
def scaled_logs(values, scale, logs, length):
    for i in range(length):
        logs[i] = np.log(twice(values[i]) * scale)
    return length

logs = np.zeros(2, np.float32)
print(scaled_logs(np.array([1, 2], np.uint16), 0.5, logs, 2), *logs.round(6), "numba" in sys.modules)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs the code above in a process of its own, with a cache that starts empty."""
    monkeypatch.setenv("LMTOOL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "script.py").write_text(CODE)

    def run():
        command = [sys.executable, str(tmp_path / "script.py")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    return run


def test_the_second_process_loads_what_the_first_compiled(script, tmp_path):
    # ln(2 · 1 · 0.5) = 0 and ln(2 · 2 · 0.5) = 0.693147; Numba is there for compiling only.
    assert script() == ["2", "0.0", "0.693147", "True"]
    assert script() == ["2", "0.0", "0.693147", "False"]

    (file,) = (tmp_path / "cache" / "compiled").iterdir()
    assert file.name.startswith("scaled_logs_")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]]
)
def test_damaged_object_code_is_compiled_again(script, tmp_path, damage):
    script()
    (file,) = (tmp_path / "cache" / "compiled").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))

    assert script()[-1] == "True"
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_none(script, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")

    assert script() == ["2", "0.0", "0.693147", "True"]  # and a warning


@compiled("int64[:], int64 -> int64")
def total(values, length):
    result = 0
    for i in range(length):
        result += values[i]
    return result


@pytest.mark.parametrize(
    "array", [np.arange(4, dtype=np.int32), np.arange(8)[::2], np.arange(4.0)], ids=["type", "strides", "float"]
)
def test_another_array_than_declared_is_an_error(array):
    with pytest.raises(TypeError, match="total takes a contiguous array of int64"):
        total(array, 4)


@compiled("int64 -> int64")
def mixed(rounds):
    state = 1
    for _ in range(rounds):
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
    return state


def test_the_interpreter_goes_on_meanwhile():
    mixed(1)  # compiled by now
    waits = 0

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(mixed, 200_000_000)
        while not running.done():
            time.sleep(0.001)
            waits += 1

    # With the interpreter lock held, the first wait would have ended after all the work.
    assert waits > 3


def test_a_function_that_allocates_is_refused():
    @compiled("int64 -> int64")
    def allocates(number):
        return np.zeros(number).sum()

    with pytest.raises(TypeError, match="allocates raises or allocates"):
        allocates(3)


def test_what_a_function_raises_is_not_taken_for_a_result():
    @compiled("int64 -> int64")
    def fails(number):
        if number:
            raise ValueError("no")
        return number

    assert fails(0) == 0
    with pytest.raises(RuntimeError, match="fails raised an exception"):
        fails(1)


def test_a_constant_of_the_module_is_part_of_what_is_kept(monkeypatch):
    def raised(number):
        return number + STEP

    monkeypatch.setitem(globals(), "STEP", 5)
    before = compiled("int64 -> int64")(raised)
    assert before(1) == 6
    monkeypatch.setitem(globals(), "STEP", 7)

    assert compiled("int64 -> int64")(raised)(1) == 8


def test_a_global_whose_value_cannot_be_kept_is_refused(monkeypatch):
    monkeypatch.setitem(globals(), "STEP", np.ones(1))

    @compiled("int64 -> int64")
    def raised(number):
        return number + STEP[0]

    with pytest.raises(TypeError, match="raised uses STEP"):
        raised(1)


def test_functions_keep_their_own_constants_however_many_are_loaded():
    # A tuple that is looked up becomes a table beside the code; each function must find its own.
    def first(number):
        return (1, 20, 300, 4000, 50000, 600000, 7, 88)[number]

    def second(number):
        return (9, 80, 700, 6000, 50000, 400000, 3, 22)[number]

    functions = [compiled("int64 -> int64")(one) for one in (first, second, first, second)]

    for _ in range(2):
        for function, python in zip(functions, (first, second, first, second), strict=True):
            assert [function(i) for i in range(8)] == [python(i) for i in range(8)]


def test_threads_that_come_first_together_load_once():
    @compiled("int64 -> int64")
    def same(number):
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(same, range(64))) == list(range(64))
