"""Handlers of signals are called while a guest loops in the engine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vmm.machine.kernels import SPIN, write_kernel
from vmm.machine.machine import Machine


class Called(Exception):
    """The handler of the signal was called."""


def raise_called(*_: object) -> None:
    raise Called


@pytest.fixture
def handler() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, raise_called)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def machine(tmp_path: Path, arch: str) -> Iterator[Machine]:
    with Machine(write_kernel(tmp_path / "spin", arch, [], SPIN[arch]), backend="unicorn") as made:
        yield made


def wakeup_fd() -> int:
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    return found


@pytest.mark.usefixtures("handler")
def test_a_looping_guest_does_not_keep_a_handler_waiting(machine: Machine) -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    with pytest.raises(Called):
        machine.run(timeout=10)
    timer.join()


def test_signals_are_told_to_others_again_behind_the_last_machine(machine: Machine) -> None:
    assert wakeup_fd() >= 0
    machine.close()
    assert wakeup_fd() == -1


def test_who_is_told_of_signals_already_goes_on_being_told(tmp_path: Path) -> None:
    kernel = write_kernel(tmp_path / "spin", "x86_64", [], SPIN["x86_64"])
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    try:
        with Machine(kernel, backend="unicorn"):
            assert wakeup_fd() == writer
        assert wakeup_fd() == writer
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


def test_who_was_told_of_signals_meanwhile_leaves_them_to_the_next_machine(
    machine: Machine,
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    machine.close()
    assert signal.set_wakeup_fd(-1) == writer
    os.close(reader)
    os.close(writer)
    with Machine(machine.config.image, backend="unicorn"):
        assert wakeup_fd() >= 0
    assert wakeup_fd() == -1


def test_a_child_process_can_close_the_machine_of_its_parent(machine: Machine) -> None:
    child = os.fork()
    if child == 0:
        try:
            machine.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert wakeup_fd() >= 0


@pytest.mark.usefixtures("handler")
def test_a_child_process_has_a_watch_of_its_own(machine: Machine) -> None:
    child = os.fork()
    if child == 0:
        with Machine(machine.config.image, backend="unicorn") as own:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            try:
                own.run(timeout=10)
            except Called:
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert wakeup_fd() >= 0
