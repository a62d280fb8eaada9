"""Conditions that a user writes, such as `word_perplexity < 300 and not unknown / words > 0.1`.

Python's parser reads them, so they look as they do in Python; what may stand in them is listed here, and nothing is
ever run but arithmetic on arrays.
"""

from __future__ import annotations

import ast
import operator
import warnings
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from lmtool.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    Evaluated = Callable[[Callable[[str], np.ndarray]], Any]
    """From a function that gives the values of a name, the value of an expression."""

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_CONNECTIVES: dict[type, Callable[[Any, Any], Any]] = {ast.And: operator.and_, ast.Or: operator.or_}

LONGEST = 10_000
"""Characters of a condition."""
DEEPEST = 300
"""Levels of a condition: each is a call or two, of which Python has a thousand, some of them for who evaluates it."""


@dataclass(frozen=True)
class Condition:
    """A condition on quantities, which are floating-point numbers: something divided by zero is infinite."""

    text: str
    names: frozenset[str]
    """The quantities that it asks for."""
    _evaluated: Evaluated

    def __call__(self, values: Callable[[str], np.ndarray], length: int) -> np.ndarray:
        """Where it holds: bool [L].

        Args:
            values: Gives the values [L] of a quantity by its name.
            length: L.
        """
        import numpy as np

        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self._evaluated(values), bool), (length,))


def parse(text: str, names: Sequence[str], option: str = "--filter") -> Condition:
    """Read a condition.

    Args:
        text: Comparisons (`< <= > >= == !=`) of arithmetic (`+ - * /`) on names and numbers, joined by `and`, `or`,
            `not` and parentheses.
        names: Quantities that may stand in it.
        option: What the user gave it to, for messages.

    Raises:
        UsageError: says what is wrong with it, and where.
    """
    return _Parser(text.strip(), names, option).condition()


class _Parser:
    def __init__(self, text: str, names: Sequence[str], option: str) -> None:
        self._text, self._names, self._option = text, list(names), option
        self._used: set[str] = set()

    def condition(self) -> Condition:
        if len(self._text) > LONGEST:
            raise self._error(f"a condition may have {LONGEST} characters, this one has {len(self._text)}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # what it warns of is an error here
                node = ast.parse(self._text, mode="eval").body
            if _depth(node) > DEEPEST:
                raise RecursionError
            evaluated = self._truth(node)
        except SyntaxError as error:
            inside = error.offset is not None and 0 < error.offset <= len(self._text)
            where = f"at character {error.offset}" if inside else "at its end"
            raise self._error(f"{error.msg} {where} of '{self._text}'") from None
        except (ValueError, OverflowError) as error:  # NUL, or a number of hundreds of digits
            raise self._error(str(error)) from None
        except (RecursionError, MemoryError):
            raise self._error(f"more than {DEEPEST} operators inside of each other or in a row") from None
        return Condition(self._text, frozenset(self._used), evaluated)

    def _truth(self, node: ast.expr) -> Evaluated:
        """What is true or false."""
        if isinstance(node, ast.BoolOp):
            return self._joined(_CONNECTIVES[type(node.op)], [self._truth(one) for one in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand)
            return lambda values: ~inner(values)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        self._number(node)  # says what is wrong with anything else
        shown = self._shown(node)
        raise self._error(f"'{shown}' is a number, not a condition", hint=f"compare it with another: '{shown} < 300'")

    def _comparison(self, node: ast.Compare) -> Evaluated:
        for op in node.ops:
            if type(op) not in _COMPARISONS:
                raise self._wrong(node)
        sides = [self._number(one) for one in (node.left, *node.comparators)]
        compare = [_COMPARISONS[type(op)] for op in node.ops]

        def evaluated(values: Callable[[str], np.ndarray]) -> Any:
            found = [side(values) for side in sides]
            pairs = [one(left, right) for one, left, right in zip(compare, found, found[1:], strict=False)]
            return reduce(operator.and_, pairs)

        return evaluated

    def _joined(self, connect: Callable[[Any, Any], Any], parts: list[Evaluated]) -> Evaluated:
        return lambda values: reduce(connect, [part(values) for part in parts])

    def _number(self, node: ast.expr) -> Evaluated:
        """What has a size."""
        if isinstance(node, ast.Name):
            return self._quantity(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return self._constant(float(node.value))
        if isinstance(node, ast.BinOp) and (calculate := _ARITHMETIC.get(type(node.op))):
            left, right = self._number(node.left), self._number(node.right)
            return lambda values: calculate(left(values), right(values))
        if isinstance(node, ast.UnaryOp) and (sign := _SIGNS.get(type(node.op))):
            inner = self._number(node.operand)
            return lambda values: sign(inner(values))
        if isinstance(node, (ast.BoolOp, ast.Compare)) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            raise self._error(f"'{self._shown(node)}' is true or false, not a number")
        raise self._wrong(node)

    def _quantity(self, name: str) -> Evaluated:
        if name not in self._names:
            known = ", ".join(self._names)
            raise self._error(f"no quantity '{name}'{did_you_mean(name, self._names)}; there are {known}")
        self._used.add(name)
        return lambda values: values(name)

    def _constant(self, number: float) -> Evaluated:
        import numpy as np

        value = np.float64(number)  # whose division by zero is no error
        return lambda values: value

    def _wrong(self, node: ast.expr) -> UsageError:
        hint = "numbers and names, + - * /, < <= > >= == !=, and, or, not, parentheses"
        return self._error(f"'{self._shown(node)}' cannot stand in a condition", hint)

    def _shown(self, node: ast.expr) -> str:
        shown = ast.get_source_segment(self._text, node) or ""
        return shown if len(shown) <= 60 else f"{shown[:59]}…"

    def _error(self, message: str, hint: str | None = None) -> UsageError:
        return UsageError(f"{self._option}: {message}", hint)


def _depth(node: ast.expr) -> int:
    """Levels of nodes, counted without recursion."""
    depth = 0
    level: list[ast.AST] = [node]
    while level:
        depth, level = depth + 1, [child for one in level for child in ast.iter_child_nodes(one)]
    return depth


__all__ = ["Condition", "parse"]
