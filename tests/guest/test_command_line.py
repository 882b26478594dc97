"""Reading the kernel's command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from guest.build import GUEST
from tests.guest.hostlib import ffi, kernel

LINE = b"loglevel=3 console=serial  name= empty pages=0x10 bad=12x pages=7 xpages=9"


@contextmanager
def command_line(text: bytes) -> Iterator[Any]:
    buffer = ffi.new("char[]", text)
    with kernel() as lib:
        lib.host_command_line(buffer)
        yield lib


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("loglevel", 3),
        ("pages", 7),
        ("xpages", 9),
        ("bad", 99),
        ("name", 99),
        ("empty", 99),
        ("page", 99),
        ("console", 99),
    ],
)
def test_numbers(name: str, number: int) -> None:
    with command_line(LINE) as lib:
        assert lib.command_line_number(name.encode(), 99) == number


def test_words() -> None:
    with command_line(LINE) as lib:
        assert lib.command_line_is(b"console", b"serial")
        assert not lib.command_line_is(b"console", b"seria")
        assert not lib.command_line_is(b"console", b"serial2")
        assert lib.command_line_is(b"name", b"")
        assert not lib.command_line_is(b"empty", b"")


@pytest.mark.parametrize("text", [b"", b" ", b"=", b"a", b"a=", b"=a", b"  a=1  "])
def test_odd_lines_do_no_harm(text: bytes) -> None:
    with command_line(text) as lib:
        assert lib.command_line_number(b"a", 5) == (1 if b"a=1" in text else 5)


def test_what_is_documented_is_asked_for() -> None:
    documented = re.findall(r"^\| `([a-z.]+)=", (GUEST / "README.md").read_text(), re.MULTILINE)
    sources = "".join(path.read_text() for path in GUEST.rglob("*.c"))
    assert len(documented) >= 7
    assert [word for word in documented if f'"{word}"' not in sources] == []
