"""Arithmetic for models, worked out from the syntax tree: nothing is ever evaluated as code."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Annotated, Any

from agents.tools import ToolError, tool

LONGEST = 500  # characters
LARGEST_EXPONENT = 1_000
LARGEST = 10**300  # of any number on the way: memory and time stay small

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "round": round, "min": min, "max": max, "sqrt": math.sqrt, "log": math.log,
    "log10": math.log10, "exp": math.exp, "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "floor": math.floor, "ceil": math.ceil,
}  # fmt: skip
_CONSTANTS = {"pi": math.pi, "e": math.e}


@tool
def calculator(
    expression: Annotated[str, "Such as (2 + 3) * 4 ** 2 or sqrt(2) / 3"],
) -> str:
    """Works out an arithmetic expression exactly. Knows + - * / // % **, brackets, abs, round,
    min, max, sqrt, log, log10, exp, sin, cos, tan, floor, ceil, pi and e."""
    if len(expression) > LONGEST:
        raise ToolError(f"An expression has at most {LONGEST} characters.")
    try:
        return str(_value(ast.parse(expression.strip(), mode="eval").body))
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolError("This is no arithmetic expression.") from None
    except ZeroDivisionError:
        raise ToolError("This divides by zero.") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolError(f"This can't be worked out: {error}.") from None


def _value(node: ast.expr) -> int | float:
    found = _worked_out(node)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ToolError("Only real numbers can be worked with.")
    if not -LARGEST < found < LARGEST:
        raise ToolError("A number became too large.")
    return found


def _worked_out(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, given))
    raise ToolError("Only numbers, + - * / // % ** and the named functions can be used.")


def _power(base: int | float, exponent: int | float) -> Any:
    if abs(exponent) > LARGEST_EXPONENT:
        raise ToolError(f"Exponents go up to {LARGEST_EXPONENT}.")
    return base**exponent
