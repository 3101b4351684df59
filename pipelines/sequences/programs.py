"""Short random programs and what they print, after Zaremba & Sutskever 2014, *Learning to Execute*.

A program is lines of Python of one length of numbers and one depth of nesting:

    a=58
    for x in range(3):a+=41
    print((a-12)if 8<33 else 7)

Operations are sums, differences, products with a small number, an if expression, a variable and a
loop, each of which holds another one as deep as `nesting` says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MOST_TIMES = 9  # of a loop, and of a product's small factor


class Program(NamedTuple):
    """A program."""

    source: str
    """Its lines."""
    result: int
    """What it prints."""


class _Expression(NamedTuple):
    text: str
    value: int


def make_program(rng: np.random.Generator, length: int, nesting: int) -> Program:
    """A random program.

    Args:
        rng: that it comes from.
        length: digits of its numbers, at least 1.
        nesting: operations that are inside each other, at least 1.
    """
    lines: list[str] = []
    names = iter(rng.permutation(list("abcdefghijklmnopqrstuvwyz")).tolist())
    expression = _number(rng, length)
    for _ in range(nesting):
        expression = _around(rng, expression, length, lines, names)
    lines.append(f"print({expression.text})")
    return Program("\n".join(lines), expression.value)


def _number(rng: np.random.Generator, length: int) -> _Expression:
    value = int(rng.integers(10 ** (length - 1) if length > 1 else 0, 10**length))
    return _Expression(str(value), value)


def _around(
    rng: np.random.Generator, inner: _Expression, length: int, lines: list[str], names: object
) -> _Expression:
    """One operation on an expression; it may put lines before the one that is being made."""
    other = _number(rng, length)
    kind = rng.integers(6)
    if kind == 0:
        pair = (inner, other) if rng.integers(2) else (other, inner)
        return _Expression(f"({pair[0].text}+{pair[1].text})", inner.value + other.value)
    if kind == 1:
        first, second = (inner, other) if rng.integers(2) else (other, inner)
        return _Expression(f"({first.text}-{second.text})", first.value - second.value)
    if kind == 2:
        factor = int(rng.integers(2, _MOST_TIMES + 1))
        return _Expression(f"({factor}*{inner.text})", factor * inner.value)
    if kind == 3:
        left, right = _number(rng, length), _number(rng, length)
        chosen = inner if left.value < right.value else other
        text = f"({inner.text} if {left.text}<{right.text} else {other.text})"
        return _Expression(text, chosen.value)
    name = next(names)  # type: ignore[call-overload]
    lines.append(f"{name}={inner.text}")
    if kind == 4:
        return _Expression(f"({name}+{other.text})", inner.value + other.value)
    times = int(rng.integers(1, _MOST_TIMES + 1))
    lines.append(f"for x in range({times}):{name}+={other.text}")
    return _Expression(name, inner.value + times * other.value)
