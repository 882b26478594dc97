"""Descriptors closed, and what follows, by a thread."""

from __future__ import annotations

import os
import signal
from _thread import allocate_lock, get_ident

from tests.descriptors import open_descriptors
from vmm.backends.kvm.disposal import Disposal, disposal


def test_what_is_given_is_closed_soon() -> None:
    reader, writer = os.pipe()
    disposal.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_any_number_may_be_given_at_once() -> None:
    before = open_descriptors()
    pipes = [os.pipe() for _ in range(100)]
    for reader, writer in pipes:
        disposal.close(writer)
        assert disposal.pending <= 8
        disposal.close(reader)
    assert open_descriptors() == before


def test_a_task_is_done_behind_what_was_left_before() -> None:
    reader, writer = os.pipe()
    first = Disposal()
    read = []
    first.close(writer)
    done = allocate_lock()
    done.acquire()

    def look() -> None:
        read.append(os.read(reader, 1))  # waits until the writer is closed
        done.release()

    first.follow(look)
    assert done.acquire(timeout=10)
    assert read == [b""]
    os.close(reader)


def test_a_task_that_follows_nothing_is_done_at_once() -> None:
    done: list[int] = []
    Disposal().follow(lambda: done.append(get_ident()))
    assert done == [get_ident()]


def test_at_the_end_everything_is_done() -> None:
    first = Disposal()
    for _ in range(100):
        reader, writer = os.pipe()
        done: list[int] = []
        first.close(writer)
        first.follow(lambda done=done: done.append(1))  # type: ignore[misc]
        first.finish()
        assert done == [1]
        assert first.pending == 0
        os.set_blocking(reader, False)
        assert os.read(reader, 1) == b""
        os.close(reader)


def test_it_goes_on_in_a_child_process() -> None:
    """Also where the thread has just closed what was on its list when the child began."""
    first = Disposal()
    for _ in range(100):
        reader, writer = os.pipe()
        first.close(writer)
        assert os.read(reader, 1) == b""
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            reader, writer = os.pipe()
            first.close(writer)
            os._exit(0 if os.read(reader, 1) == b"" else 1)
        assert os.waitpid(child, 0)[1] == 0
        os.close(reader)
