"""What is an edit and what is none, the same on every version of Python."""

from __future__ import annotations

import ast

import pytest

from sqlmig.checksum import syntax_checksum, text_hash

SAME = [
    ("x = 1", "x = 1  # one\n\n"),
    ("x = 'a'", 'x = ("a")'),
    ("x = 'a' 'b'", 'x = """ab"""'),
    ("f(1, 2)", "f(\n    1,\n    2,\n)"),
    ("x = 1000", "x = 1_000"),
    ("x = 16", "x = 0x10"),
    ("if a:\n  b()", "if a:\n        b()"),
    ("if a:\n    b()\nelse:\n    if c:\n        d()", "if a:\n    b()\nelif c:\n    d()"),
    ("f'{a}b' 'c'", 'f"{a}bc"'),
    ("f'{x!r:>{n}}'", "f'{ x !r:>{ n }}'"),
    ("class A:\n    'Says one thing.'\n    x = 1", "class A:\n    'Says another.'\n    x = 1"),
    ("def f():\n    pass", "def f(): pass"),
    ("'Module.'\nx = 1", "x = 1"),
    ("x = {**a, 'b': 1}", "x = {\n **a,\n 'b': 1,\n}"),
    ("with (open(a) as b, open(c) as d):\n    pass", "with open(a) as b, open(c) as d:\n    pass"),
    ("x = 'é'", "x = '\\u00e9'"),
    ("a; b", "a\nb"),
    ("x = (1, 2)", "x = 1, 2"),
]
DIFFERENT = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 'a'", "x = b'a'"),
    (
        "x = None",
        "x = ...",
    ),
    ("x = 0.0", "x = -0.0"),
    ("x = ['a', 'b']", "x = ['a' 'b']"),
    ("x = ('a',)", "x = 'a'"),
    ("f'{a}'", "f'{b}'"),
    ("f'{a}'", "f'{a!r}'"),
    ("f'{a}'", "'{a}'"),
    ("f'{a}b'", "f'b{a}'"),
    ("a.b = 1", "a.c = 1"),
    ("def f(a, b): pass", "def f(b, a): pass"),
    ("def f(a, *, b): pass", "def f(a, b): pass"),
    ("def f(a, /): pass", "def f(a): pass"),
    ("x = a and b", "x = a or b"),
    ("x = a < b", "x = a <= b"),
    ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
    ("def f():\n    return 'x'", "def f():\n    'x'"),
    ("x = {None: 1}", "x = {**1}"),
    ("lambda: (yield)", "lambda: None"),
    ("from . import a", "from .. import a"),
    ("import a as b", "import a as c"),
    ("x = a[1:2]", "x = a[1, 2]"),
    ("async def f(): pass", "def f(): pass"),
    ("global_ = 1\ndef f():\n    global a", "global_ = 1\ndef f():\n    global b"),
]
# Everything that Python 3.11 can say, hashed once; another version that hashes it otherwise would stop boots.
EVERYTHING = '''
"""Docstring."""
from __future__ import annotations
import os as o
@decorated(1, *a, k=2, **b)
class A(B, metaclass=C):
    x: int = 1
    def f(self, a, /, b: str = "é", *c, d=None, **e) -> "int":
        """Docstring."""
        global g
        nested = f"{a!r:>{b}}{{}}" f"{f'{b}'}" "tail" rf"\\d{c}"
        return lambda q=1, *r: (yield q)
async def h():
    async with a as b, c:
        async for d in [e async for e in f if e]:
            await g
    try:
        raise ValueError from None
    except* (A, B) as error:
        del error
    else:
        pass
    finally:
        assert x, "y"
match command:
    case {"a": [1, *rest], **others} if rest: pass
    case Point(x=0) | None | -1 | "s" | (1 as z): pass
    case _: pass
while (n := 10 ** -2) not in {1, 2.5, 3j, b"bytes", ..., True, None}:
    n @= a[1:2:3, ...] if not b else {**c, "d": ~e, **f}
    break
x = 340282366920938463463374607431768211456
type_ = {k: v for k, v in d.items()}
'''
HASH_OF_EVERYTHING = "py1:4852614aeb3c18efb25628d6f37213bb696debca"


@pytest.mark.parametrize(("one", "other"), SAME)
def test_formatting_is_no_edit(one: str, other: str) -> None:
    assert checksum(one) == checksum(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_an_edit_is_one(one: str, other: str) -> None:
    assert checksum(one) != checksum(other)


def test_the_checksum_is_the_same_on_every_python() -> None:
    assert checksum(EVERYTHING) == HASH_OF_EVERYTHING


def test_the_text_hash_does_not_see_line_ends() -> None:
    assert text_hash(b"a\r\nb\rc\n") == text_hash(b"\xef\xbb\xbfa\nb\nc\n")
    assert text_hash(b"a") != text_hash(b"b")


def checksum(source: str) -> str:
    return syntax_checksum(ast.parse(source))
