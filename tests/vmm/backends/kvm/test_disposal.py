"""Descriptors closed by a thread."""

from __future__ import annotations

import os
import signal

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
