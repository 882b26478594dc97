"""The console: what is kept, what is read, and waiting for output."""

from __future__ import annotations

import os
import threading

import pytest

import vmm.console as console_module
from vmm.console import Console
from vmm.hypercall.abi import STREAM_ERROR, STREAM_LOG


def test_output_keeps_both_streams_in_order_and_the_log_apart() -> None:
    console = Console()
    console.write(b"a")
    console.write(b"b", STREAM_ERROR)
    console.write(b"kernel says", STREAM_LOG)
    assert console.output == b"ab"
    assert console.log == b"kernel says"


def test_output_of_an_endless_guest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "KEPT_OUTPUT", 100)
    console = Console()
    for number in range(100):
        console.write(b"%09d\n" % number)
    assert len(console.output) <= 200
    assert console.output.endswith(b"000000099\n")


def test_expect_still_finds_what_comes_after_the_front_was_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_module, "KEPT_OUTPUT", 100)
    console = Console()
    console.write(b"first")
    assert console.expect(b"first", timeout=1)
    console.write(b"x" * 1000 + b"second")
    assert console.expect(b"second", timeout=1)


def test_input_is_read_in_pieces_then_ends() -> None:
    console = Console()
    assert console.read(10) is None
    console.send(b"hello")
    assert console.read(2) == b"he"
    assert console.read(10) == b"llo"
    assert console.read(10) is None
    console.close_input()
    assert console.read(10) == b""
    with pytest.raises(ValueError, match="closed"):
        console.send(b"more")


def test_attached_descriptor_is_read_only_on_demand() -> None:
    reader, writer = os.pipe()
    console = Console()
    console.attach_input(reader)
    assert not console.ready
    os.write(writer, b"abcdef")
    assert console.ready
    assert console.read(2) == b"ab"
    assert os.read(reader, 10) == b"cdef", "the console took more than was asked for"
    os.close(writer)
    assert console.read(1) == b""
    os.close(reader)


def test_expect_consumes_up_to_the_match() -> None:
    console = Console()
    console.write(b"one two two")
    assert console.expect(rb"t(w)o", timeout=1).group(1) == b"w"
    assert console.expect(b"two", timeout=1)
    with pytest.raises(TimeoutError, match="two"):
        console.expect(b"two", timeout=0.01)


def test_expect_wants_bytes() -> None:
    with pytest.raises(TypeError, match="write b'prompt'"):
        Console().expect("prompt")  # type: ignore[arg-type]


def test_expect_is_woken_by_output_from_another_thread() -> None:
    console = Console()
    timer = threading.Timer(0.02, console.write, [b"ready"])
    timer.start()
    assert console.expect(b"ready", timeout=5)


def test_expect_fails_at_once_when_the_machine_stops() -> None:
    console = Console()
    threading.Timer(0.02, console.finish).start()
    with pytest.raises(EOFError, match="never"):
        console.expect(b"never", timeout=5)


def test_closed_reader_of_the_output_is_an_error_for_the_guest() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    console = Console()
    console.attach_output(writer, writer)
    with pytest.raises(BrokenPipeError):
        console.write(b"x")
    os.close(writer)


def test_pumped_input_arrives_and_ends() -> None:
    reader, writer = os.pipe()
    console = Console()
    arrived = threading.Event()
    console.on_input = arrived.set
    console.attach_input(reader)
    console.pump_input()
    os.write(writer, b"keys")
    assert arrived.wait(5)
    assert console.take(10) == b"keys"
    arrived.clear()
    os.close(writer)
    assert arrived.wait(5)
    with pytest.raises(ValueError, match="closed"):
        console.send(b"more")
    os.close(reader)


def test_pumped_input_is_for_nobody_else() -> None:
    console = Console()
    console.pump_input()
    console.send(b"keys")
    assert not console.announce()
    assert console.read(10) is None
    assert console.take(10) == b"keys"


def test_input_is_announced_once_until_it_is_read_or_more_comes() -> None:
    console = Console()
    assert not console.announce()
    console.send(b"ab")
    assert [console.announce(), console.announce()] == [True, False]
    console.send(b"c")
    assert [console.announce(), console.announce()] == [True, False]
    assert console.read(1) == b"a"
    assert [console.announce(), console.announce()] == [True, False]
    console.read(10)
    assert not console.announce()
    console.close_input()
    assert [console.announce(), console.announce()] == [True, False]
