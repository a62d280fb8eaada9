"""Loops over arrays as machine code: compiled by Numba once a machine, loaded from the cache in milliseconds.

    @compiled("int32[:], int64, int64[:]")
    def count(ids, length, counts):
        for i in range(length):
            counts[ids[i]] += 1

Calling `count(ids, len(ids), counts)` compiles it, or loads the object code that an earlier process left in the cache
folder; Numba itself is imported for compiling only. Numba's own cache is not used, since it holds pickles. A compiled
function runs without the interpreter lock, so threads run side by side. It is written in the part of Python that Numba
knows; arrays are indexed with one index from 0 and have no length, nothing is checked inside, and nothing may be
raised or allocated. It returns an int64, or nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import re
import sys
import threading
import types
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.cache import cache_folder
from lmtool.errors import DataError
from lmtool.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCALARS: dict[str, Any] = {"int64": ctypes.c_int64, "float64": ctypes.c_double}
_loading = threading.RLock()
logger = logging.getLogger("lmtool.compiled")

PIPELINE = 1
"""Goes up when functions are compiled or called in another way."""


class Compiled:
    """A function that runs as machine code; `python` is what it was made from."""

    def __init__(self, python: Callable[..., Any], signature: str, helpers: tuple[Callable[..., Any], ...]) -> None:
        self.python, self.helpers = python, helpers
        self.arguments = [one.strip() for one in signature.partition("->")[0].split(",")]
        self.returns = signature.partition("->")[2].strip() or None
        self.__name__, self.__doc__ = python.__name__, python.__doc__
        self._loaded: Any = None
        self._converters = [_converter(self.__name__, one) for one in self.arguments]

    def __call__(self, *arguments: Any) -> Any:
        """Arrays must have exactly the declared types and be contiguous; numbers are converted.

        Raises:
            TypeError: if an array is another.
            ValueError: if the number of arguments is wrong.
            RuntimeError: if the function raised something.
        """
        converted = [convert(one) for convert, one in zip(self._converters, arguments, strict=True)]
        result = _SCALARS[self.returns or "int64"]()
        if self._function(ctypes.byref(result), ctypes.byref(ctypes.c_void_p()), *converted):
            raise RuntimeError(f"{self.__name__} raised an exception, which is lost")
        return result.value if self.returns else None

    @property
    def _function(self) -> Any:
        if self._loaded is None:
            with _loading:  # two threads may come here at once; one loads
                if self._loaded is None:
                    self._loaded = self._load()
        return self._loaded

    def _load(self) -> Any:
        address = _load(self._name, self._object_code())
        # Numba's own calling convention: where the result goes, where an exception would go, the arguments.
        c_types = [_SCALARS.get(one, ctypes.c_void_p) for one in self.arguments]
        return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *c_types)(address)

    @cached_property
    def _name(self) -> str:
        """Names the function in the process and in the cache: changes with all that its object code depends on."""
        named = {one.__name__ for one in self.helpers}
        codes = [_described(one, named) for one in (*self.helpers, self.python)]
        compiler = PIPELINE, sys.version_info[:2], version("numba"), version("llvmlite"), *_machine()
        facts = repr((codes, self.arguments, self.returns, compiler))
        return f"{self.__name__}_{hashlib.sha256(facts.encode()).hexdigest()[:32]}"

    def _object_code(self) -> bytes:
        file: Path = cache_folder() / "compiled" / f"{self._name}.o"
        if (code := _read_checked(file)) is not None:
            return code
        code = self._compile()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, hashlib.sha256(code).digest() + code)
        except (OSError, DataError) as error:
            _warn_of_cache(str(error))
        return code

    def _compile(self) -> bytes:
        import llvmlite.binding as llvm
        import numba

        names: dict[str, Any] = {}
        for one in self.helpers:  # each may call those before it
            names[one.__name__] = numba.njit(_with_globals(one, names, one.__name__), error_model="numpy")
        source = _with_globals(self.python, names, self._name)
        pointers = [
            numba.types.CPointer(getattr(numba.types, one[:-3])) if one.endswith("[:]") else getattr(numba.types, one)
            for one in self.arguments
        ]
        returns = getattr(numba.types, self.returns) if self.returns else numba.types.none
        alone = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
        function = numba.njit(returns(*pointers), **alone)(source)
        symbol = function.overloads[function.signatures[0]].fndesc.llvm_func_name
        code = function.inspect_llvm(function.signatures[0]).replace(symbol, self._name)
        _check_stands_alone(self.__name__, code)
        object_code: bytes = _target_machine().emit_object(llvm.parse_assembly(code))
        return object_code


def _read_checked(file: Path) -> bytes | None:
    """Object code behind its sha256; None if there is none or it is damaged, which would end the process."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    return data[size:] if hashlib.sha256(data[size:]).digest() == data[:size] else None


def _check_stands_alone(name: str, code: str) -> None:
    """Code that needs Numba at run time could not be loaded without it."""
    needed = set(re.findall(r"^declare .*@\"?([\w.]+)", code, re.MULTILINE))
    if wrong := sorted(one for one in needed if one.startswith(("numba", "NRT", "Py", "_Py"))):
        raise TypeError(f"{name} raises or allocates, which a compiled function cannot: it needs {', '.join(wrong)}")


def compiled(signature: str, *helpers: Callable[..., Any]) -> Callable[[Callable[..., Any]], Compiled]:
    """Compile a function.

    Args:
        signature: Types of the arguments, by commas: `int64` or `float64`, or arrays of any numpy type as `uint16[:]`;
            then `-> int64` or `-> float64` if something is returned.
        helpers: Plain functions that it calls.
    """
    return lambda python: Compiled(python, signature, helpers)


def _described(function: Callable[..., Any], helpers: set[str]) -> Any:
    """All of a function's code that decides what it computes; constants of its module by their values."""
    code = function.__code__
    values = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    for name, value in values.items():
        if name not in helpers and not isinstance(value, (int, float, str, types.ModuleType)):
            raise TypeError(f"{function.__name__} uses {name}, which is neither a number nor a module nor a helper")
    constants = {name: repr(value) for name, value in values.items() if isinstance(value, (int, float, str))}
    plain = [one for one in code.co_consts if not isinstance(one, types.CodeType)]
    return function.__name__, code.co_code.hex(), repr(plain), code.co_names, code.co_varnames, constants


def _with_globals(function: Callable[..., Any], names: dict[str, Any], name: str) -> Callable[..., Any]:
    """The same function, with other values for some names."""
    return types.FunctionType(function.__code__, {**function.__globals__, **names}, name)


@lru_cache(1)
def _warn_of_cache(reason: str) -> None:
    logger.warning("compiled functions cannot be kept, so that each process compiles them again: %s", reason)


def _converter(name: str, argument: str) -> Callable[[Any], Any]:
    if argument in _SCALARS:
        return int if argument == "int64" else float
    dtype = np.dtype(argument.removesuffix("[:]"))

    def address(array: np.ndarray) -> int:
        if array.dtype != dtype or not array.flags.c_contiguous:
            raise TypeError(f"{name} takes a contiguous array of {dtype}, got {array.dtype} {array.strides}")
        pointer: int = array.__array_interface__["data"][0]
        return pointer

    return address


@lru_cache(1)
def _machine() -> tuple[str, str, str]:
    import llvmlite.binding as llvm

    return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, cpu, features = _machine()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True, reloc="pic")


_engines: list[Any] = []
"""Each holds one function; it goes when the process does."""


def _load(name: str, code: bytes) -> int:
    """The address of a function in its object code."""
    import llvmlite.binding as llvm

    # An engine for each: with several objects in one, LLVM finds one object's constants by another's table of offsets.
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(name)
    if not address:
        raise RuntimeError(f"object code of {name} does not hold it")
    _engines.append(engine)
    return address


__all__ = ["Compiled", "compiled"]
