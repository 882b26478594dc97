"""The escape key of an interactive run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmm.cli.terminal import EscapeFilter


def test_ctrl_c_reaches_the_guest() -> None:
    assert EscapeFilter().feed(b"\x03") == b"\x03"


def test_ctrl_a_x_quits_and_takes_nothing_behind_it() -> None:
    keys = EscapeFilter()
    assert keys.feed(b"ls\n\x01") == b"ls\n"
    assert not keys.quit
    assert keys.feed(b"xrest") == b""
    assert keys.quit


def test_ctrl_a_twice_is_one() -> None:
    assert EscapeFilter().feed(b"\x01\x01a") == b"\x01a"


def test_ctrl_a_before_any_other_key_passes_both() -> None:
    assert EscapeFilter().feed(b"\x01k") == b"\x01k"


@given(st.lists(st.binary(max_size=5).filter(lambda keys: b"\x01" not in keys)))
def test_without_the_escape_key_nothing_changes(pieces: list[bytes]) -> None:
    keys = EscapeFilter()
    assert b"".join(keys.feed(piece) for piece in pieces) == b"".join(pieces)
