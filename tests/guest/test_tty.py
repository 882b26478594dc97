"""The terminal's line discipline against the one of the Linux that the tests run on."""

from __future__ import annotations

import os
import select
import struct
import termios
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.guest.systemlib import ARENA, system

TCGETS, TCSETS, TIOCGWINSZ = 0x5401, 0x5402, 0x5413
ALL = 7
IUTF8, ECHOCTL, ECHOKE = 0o40000, 0o1000, 0o4000
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6

# Behind every input, so that a test knows when all of it was read: what there is so far, which may
# quote the first VEOF, and a line of its own.
LAST_LINE = b"#END"
END = b"\x04\x04" + LAST_LINE + b"\x04"

# What a key press sends, special keys often.
KEYS = st.sampled_from(
    [
        *(b"\x7f", b"\x15", b"\x17", b"\x12", b"\x16", b"\x04"),  # erase, kill, word, ...
        *(b"\r", b"\n", b"\t", b"\x01", b"\x1b", b"\x00", b"\x7f", b"\x17", b"\t", b"\x04"),
        *(b"a", b"b", b"word", b" ", b".", b"_", "é".encode(), "日".encode(), b"\xc3", b"\xa9"),
        *(b"\xd7", b"\xf7", b"\xff"),
    ]
)
INPUT = st.lists(KEYS, max_size=40).map(b"".join)


def flags(*bits: int) -> st.SearchStrategy[int]:
    return st.lists(st.sampled_from(bits), unique=True).map(sum)


INPUT_FLAGS = flags(termios.ICRNL, termios.INLCR, termios.IGNCR, termios.ISTRIP, IUTF8)
# Without OPOST, Linux loses count of columns, and erases tabs wrongly.
OUTPUT_FLAGS = st.sampled_from([termios.OPOST, termios.OPOST | termios.ONLCR])
LOCAL_FLAGS = flags(
    *(termios.ECHO, termios.ECHOE, termios.ECHOK, termios.ECHONL, termios.IEXTEN),
    *(ECHOCTL, ECHOKE),
)


def default_attributes() -> list[Any]:
    master, slave = os.openpty()
    try:
        return termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)


def linux_type(data: bytes, attributes: list[Any]) -> tuple[list[bytes], bytes]:
    """What a program reads from a fresh pseudo-terminal of Linux, and what its screen shows."""
    master, slave = os.openpty()
    try:
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        os.write(master, data)
        lines = [os.read(slave, 4096)]
        while not lines[-1].endswith(LAST_LINE):
            lines.append(os.read(slave, 4096))
        screen = b""
        while select.select([master], [], [], 0.02)[0]:
            screen += os.read(master, 65536)
        return lines, screen
    finally:
        os.close(master)
        os.close(slave)


def kernel_type(data: bytes, attributes: list[Any]) -> tuple[list[bytes], bytes]:
    """The same with the kernel's terminal."""
    with system(terminals=ALL) as kernel:
        characters = b"".join(c if isinstance(c, bytes) else bytes([c]) for c in attributes[CC])
        kernel.put(struct.pack("<4IB19s", *attributes[:4], 0, characters[:19]))
        kernel.call("ioctl", 0, TCSETS, ARENA)
        kernel.feed(data, ends=False)
        lines = [kernel.read(0, 4096)]
        while not lines[-1].endswith(LAST_LINE):
            lines.append(kernel.read(0, 4096))
        return lines, kernel.output()


@settings(max_examples=150)
@given(data=INPUT)
@example(data=b"\tab\t\x7f\x7f\x7f\x7f")
@example(data="naïve caffé\x17\x17".encode())
def test_canonical_mode_with_the_flags_of_a_terminal(data: bytes) -> None:
    attributes = default_attributes()
    attributes[IFLAG] |= IUTF8
    assert kernel_type(data + END, attributes) == linux_type(data + END, attributes)


@settings(max_examples=150)
@given(INPUT, INPUT_FLAGS, OUTPUT_FLAGS, LOCAL_FLAGS)
def test_canonical_mode_with_any_flags(data: bytes, iflag: int, oflag: int, lflag: int) -> None:
    attributes = default_attributes()
    attributes[IFLAG] = iflag
    attributes[OFLAG] = oflag
    attributes[LFLAG] = lflag | termios.ICANON
    assert kernel_type(data + END, attributes) == linux_type(data + END, attributes)
