"""The kernel's snprintf against the C library's, and numbers read back."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guest.hostlib import ffi, kernel

LIBC = ctypes.CDLL(None)

INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.integers(-300, 300)
LENGTHS = {"hh": 8, "h": 16, "": 32, "l": 64, "ll": 64, "z": 64, "j": 64, "t": 64}
SPECIFICATIONS = st.builds(
    "{}{}{}".format,
    st.sets(st.sampled_from("-0#+ ")).map(lambda flags: "".join(sorted(flags))),
    st.none().map(lambda _: "") | st.integers(1, 40).map(str),
    st.just("") | st.just(".") | st.integers(0, 30).map(".{}".format),
)


def ours(format_: str, *arguments: object, size: int = 200) -> tuple[int, bytes]:
    buffer = ffi.new("char[]", b"\xff" * 250)
    with kernel() as lib:
        length = lib.snprintf(buffer, size, format_.encode(), *arguments)
    return length, bytes(ffi.buffer(buffer, 220))


def libc(format_: str, *arguments: object, size: int = 200) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(b"\xff" * 250, 251)
    length = LIBC.snprintf(buffer, ctypes.c_size_t(size), format_.encode(), *arguments)
    return length, buffer.raw[:220]


@given(SPECIFICATIONS, st.sampled_from(sorted(LENGTHS)), st.sampled_from("diuoxX"), INTEGERS)
def test_integers(specification: str, length: str, kind: str, number: int) -> None:
    # Octal with # asks for a leading zero, which no line of the kernel wants.
    if kind == "o":
        specification = specification.replace("#", "")
    format_ = f"<%{specification}{length}{kind}>"
    word = number % 2**64
    short = ffi.cast("uint32_t", word)
    argument = ffi.cast("uint64_t", word) if LENGTHS[length] == 64 else short
    assert ours(format_, argument) == libc(format_, ctypes.c_uint64(word))


@given(SPECIFICATIONS, st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=50))
def test_strings(specification: str, text: str) -> None:
    specification = specification.translate(str.maketrans("", "", "0#+ "))
    format_ = f"%{specification}s|%c"
    here = ours(format_, ffi.new("char[]", text.encode()), ffi.cast("int", 65))
    assert here == libc(format_, text.encode(), 65)


@given(st.integers(0, 60), st.integers(-50, 50), st.integers(-1, 30))
def test_what_does_not_fit_is_cut_and_counted(size: int, width: int, precision: int) -> None:
    arguments = (width, precision, -12345)
    here = ours(
        "a%*.*d%%%d", *(ffi.cast("int", n) for n in arguments), ffi.cast("int", 7), size=size
    )
    assert here == libc("a%*.*d%%%d", *arguments, 7, size=size)


def test_null_and_pointers() -> None:
    assert ours("%s", ffi.NULL)[1].startswith(b"(null)\0")
    assert ours("%p", ffi.cast("void *", 0xFFFF_8000_0010_0000))[1].startswith(
        b"0xffff800000100000\0"
    )


def parse(text: bytes, base: int) -> tuple[int, int] | None:
    """The number and how many characters it took."""
    start = ffi.new("char[]", text)
    at = ffi.new("char *[]", [start])
    number = ffi.new("uint64_t *")
    with kernel() as lib:
        if not lib.parse_number(ffi.cast("const char **", at), base, number):
            assert at[0] == start
            return None
    return number[0], at[0] - start


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        (b"12", 10, (12, 2)),
        (b"0x1fz", 0, (31, 4)),
        (b"0xg", 0, (0, 1)),
        (b"017 ", 0, (15, 3)),
        (b"089", 0, (0, 1)),
        (b"zZ9", 36, (int("zZ9", 36), 3)),
        (b"18446744073709551615", 10, (2**64 - 1, 20)),
        (b"18446744073709551616", 10, None),
        (b"", 10, None),
        (b"-1", 10, None),
        (b"x", 0, None),
    ],
)
def test_numbers(text: bytes, base: int, expected: tuple[int, int] | None) -> None:
    assert parse(text, base) == expected
