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
import inspect
import re
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


class Compiled:
    """A function that runs as machine code; `python` is what it was made from."""

    def __init__(self, python: Callable[..., Any], signature: str, helpers: tuple[Callable[..., Any], ...]) -> None:
        self.python, self.helpers = python, helpers
        self.arguments = [one.strip() for one in signature.partition("->")[0].split(",")]
        self.returns = signature.partition("->")[2].strip() or None
        self.__name__, self.__doc__ = python.__name__, python.__doc__
        self._converters = [_converter(self.__name__, one) for one in self.arguments]

    def __call__(self, *arguments: Any) -> Any:
        """Arrays must have exactly the declared types and be contiguous; numbers are converted.

        Raises:
            TypeError: if an array is another.
            ValueError: if the number of arguments is wrong.
        """
        converted = [convert(one) for convert, one in zip(self._converters, arguments, strict=True)]
        result = _SCALARS[self.returns or "int64"]()
        self._function(ctypes.byref(result), ctypes.byref(ctypes.c_void_p()), *converted)
        return result.value if self.returns else None

    @cached_property
    def _function(self) -> Any:
        with _loading:
            address = _load(self._name, self._object_code())
        # Numba's own calling convention: where the result goes, where an exception would go, the arguments.
        c_types = [_SCALARS.get(one, ctypes.c_void_p) for one in self.arguments]
        return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *c_types)(address)

    @cached_property
    def _name(self) -> str:
        """Names the function in the process and in the cache: changes with its source, the compiler and the machine."""
        sources = [inspect.getsource(one) for one in (*self.helpers, self.python)]
        facts = (*sources, str(self.arguments), str(self.returns), version("numba"), version("llvmlite"), *_machine())
        digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()
        return f"{self.__name__}_{digest[:32]}"

    def _object_code(self) -> bytes:
        file: Path = cache_folder() / "compiled" / f"{self._name}.o"
        if (code := _read_checked(file)) is not None:
            return code
        code = self._compile()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, hashlib.sha256(code).digest() + code)
        except (OSError, DataError):
            pass  # a cache that cannot be written is none
        return code

    def _compile(self) -> bytes:
        import llvmlite.binding as llvm
        import numba

        names = {one.__name__: numba.njit(one, error_model="numpy") for one in self.helpers}
        source = types.FunctionType(self.python.__code__, {**self.python.__globals__, **names}, self._name)
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


@lru_cache(1)
def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, cpu, features = _machine()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True, reloc="pic")


@lru_cache(1)
def _engine() -> Any:
    import llvmlite.binding as llvm

    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())


def _load(name: str, code: bytes) -> int:
    """The address of a function in its object code."""
    import llvmlite.binding as llvm

    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(name)
    return address


__all__ = ["Compiled", "compiled"]
