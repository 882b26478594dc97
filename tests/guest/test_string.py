"""String functions, next to Python's operations on bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.guest.hostlib import ffi, kernel

TEXT = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"x"))
FEW = st.text("ab", max_size=6).map(str.encode)


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def order(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


def offset(found: Any, start: Any) -> int:
    return -1 if found == ffi.NULL else ffi.cast("char *", found) - start


@given(FEW | TEXT, FEW | TEXT, st.integers(0, 8))
def test_comparisons(left: bytes, right: bytes, limit: int) -> None:
    with kernel() as lib:
        assert sign(lib.strncmp(left, right, limit)) == order(left[:limit], right[:limit])
        count = min(len(left), len(right))
        assert sign(lib.memcmp(left, right, count)) == order(left[:count], right[:count])


@given(FEW | TEXT, st.integers(1, 255))
def test_searches(text: bytes, byte: int) -> None:
    start = ffi.new("char[]", text)
    with kernel() as lib:
        assert offset(lib.strchr(start, byte), start) == text.find(bytes([byte]))
        assert offset(lib.strrchr(start, byte), start) == text.rfind(bytes([byte]))
        assert offset(lib.memchr(start, byte, len(text)), start) == text.find(bytes([byte]))
        assert offset(lib.strchr(start, 0), start) == len(text)
        assert offset(lib.memchr(start, 0, len(text)), start) == -1


@given(TEXT, st.integers(0, 25))
def test_lengths_and_bounded_copies(text: bytes, size: int) -> None:
    target = ffi.new("char[]", b"\xff" * 30)
    with kernel() as lib:
        assert lib.strnlen(text, size) == min(len(text), size)
        assert lib.strlcpy(target, text, size) == len(text)
    expected = text[: size - 1] + b"\0" if size else b""
    assert bytes(ffi.buffer(target, 30)) == expected.ljust(30, b"\xff")
