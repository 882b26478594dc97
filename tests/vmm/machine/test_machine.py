"""A machine's life cycle, with guests that behave and guests that do not."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.descriptors import open_descriptors
from tests.vmm.machine.dice import Dice
from tests.vmm.machine.kernels import CRASH, SPIN, WAIT, request, text_offset, write_kernel
from vmm import Machine, UsageError, VmmError
from vmm.errors import GuestTimeout
from vmm.hypercall import abi
from vmm.machine import execution, outcome

NEVER = (1 << 64) - 1


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return tmp_path / "kernel.elf"


def test_output_and_exit_status(kernel: Path, arch: str, backend: str) -> None:
    requests = [
        request(abi.CONSOLE_WRITE, text_offset(arch, 0), 6, abi.STREAM_OUTPUT),
        request(abi.EXIT, 7, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"hello\n",))
    with Machine(kernel, backend=backend) as machine:
        assert machine.exit_status is None
        assert machine.run(timeout=20) == 7
        assert machine.exit_status == 7
        assert machine.console.output == b"hello\n"
        assert machine.arch == arch
        assert machine.backend == backend


def test_panic_is_126_with_its_message(kernel: Path, arch: str, backend: str) -> None:
    requests = [request(abi.EXIT, 1, abi.EXIT_PANIC, text_offset(arch, 0), 13)]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"out of cheese",))
    with Machine(kernel, backend=backend) as machine:
        assert machine.run(timeout=20) == outcome.STATUS_GUEST_FAILURE
        report = machine.crash_report()
    assert "the guest panicked: out of cheese" in report
    assert "last device accesses" in report
    assert "(doorbell+0x0)" in report


def test_spinning_guest_is_stopped_in_time(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [], SPIN[arch])
    with Machine(kernel, backend=backend) as machine:
        start = time.monotonic()
        with pytest.raises(GuestTimeout):
            machine.run(timeout=0.3)
        assert 0.3 <= time.monotonic() - start < 5
        assert machine.exit_status == outcome.STATUS_TIMEOUT
        report = machine.crash_report()
    counter = "rip" if arch == "x86_64" else "pc"
    base = "0xffff90000010" if arch == "x86_64" else "0xffff00004008"
    assert f"{counter} {base}" in report


def test_crash_is_126_and_says_where(kernel: Path, arch: str, backend: str) -> None:
    if (arch, backend) == ("arm64", "kvm"):
        pytest.skip("an exception without a vector table loops inside KVM on arm64")
    write_kernel(kernel, arch, [], CRASH[arch])
    with Machine(kernel, backend=backend) as machine:
        try:
            status = machine.run(timeout=2)
        except GuestTimeout:
            # Exceptions that fault in turn loop for ever on arm64; the host stays in charge.
            assert arch == "arm64"
            return
        assert status == outcome.STATUS_GUEST_FAILURE
        assert "the guest crashed" in machine.crash_report()


def test_idle_ends_with_input(kernel: Path, arch: str, backend: str) -> None:
    requests = [
        request(abi.IDLE, NEVER),
        request(abi.CONSOLE_READ, text_offset(arch, 0), 5),
        request(abi.CONSOLE_WRITE, text_offset(arch, 0), 5, abi.STREAM_OUTPUT),
        request(abi.EXIT, 0, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch])
    with Machine(kernel, backend=backend) as machine:
        start = time.monotonic()
        threading.Timer(0.1, machine.console.send, [b"typed"]).start()
        assert machine.run(timeout=20) == 0
        assert machine.console.output == b"typed"
        assert time.monotonic() - start >= 0.1


def test_idle_ends_at_its_deadline(kernel: Path, arch: str, backend: str) -> None:
    requests = [
        request(abi.IDLE, 300_000_000),
        request(abi.EXIT, 3, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch])
    with Machine(kernel, backend=backend) as machine:
        assert machine.run(timeout=20) == 3
        assert machine.clock.now() >= 300_000_000


def test_an_infinite_timeout_is_refused_and_does_no_harm(kernel: Path, arch: str) -> None:
    write_kernel(kernel, arch, [request(abi.EXIT, 3, 0, 0, 0)], SPIN[arch])
    with Machine(kernel, backend="unicorn") as machine:
        with pytest.raises(OverflowError):
            machine.run(timeout=float("inf"))
        assert machine.run(timeout=20) == 3


def test_idle_guest_is_stopped_by_the_timeout(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [request(abi.IDLE, NEVER)], SPIN[arch])
    with Machine(kernel, backend=backend) as machine, pytest.raises(GuestTimeout):
        machine.run(timeout=0.2)


def test_waiting_processor_is_stopped(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [], WAIT[arch])
    with Machine(kernel, backend=backend) as machine:
        threading.Timer(0.2, machine.stop, [9]).start()
        status = machine.run(timeout=20)
    # x86: HLT with interrupts disabled; the emulator knows that nothing can end it.
    assert status in (9, outcome.STATUS_GUEST_FAILURE)
    if backend == "kvm" or arch == "arm64":
        assert status == 9


def test_started_machine_runs_beside_its_owner(kernel: Path, arch: str, backend: str) -> None:
    requests = [
        request(abi.CONSOLE_WRITE, text_offset(arch, 0), 5, abi.STREAM_OUTPUT),
        request(abi.IDLE, NEVER),
        request(abi.EXIT, 4, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"ready",))
    with Machine(kernel, backend=backend) as machine:
        machine.console.expect(b"ready", timeout=20)
        machine.console.send(b"go")
        assert machine.wait(timeout=20) == 4
        assert machine.run() == 4, "a finished machine says again how it ended"


def write(arch: str, text: int) -> bytes:
    return request(abi.CONSOLE_WRITE, text_offset(arch, text), 3, abi.STREAM_OUTPUT)


@pytest.fixture
def counting(kernel: Path, arch: str, backend: str) -> Iterator[Machine]:
    """A machine that writes one, waits for input, writes two, and exits."""
    requests = [
        write(arch, 0),
        request(abi.IDLE, NEVER),
        write(arch, 1),
        request(abi.EXIT, 4, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"one", b"two"))
    with Machine(kernel, backend=backend) as machine:
        yield machine


def test_who_waits_for_output_runs_the_guest(counting: Machine) -> None:
    runners: list[int] = []
    write = counting.console.write

    def note(data: bytes, stream: int) -> None:
        runners.append(threading.get_ident())
        write(data, stream)

    counting.console.write = note  # type: ignore[method-assign]
    counting.console.expect(b"one")
    assert runners == [threading.get_ident()]
    assert counting.running


def test_a_guest_goes_on_behind_the_wait_for_its_output(counting: Machine) -> None:
    counting.console.expect(b"one")
    counting.console.send(b"go")
    deadline = time.monotonic() + 10
    while counting.exit_status is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert counting.console.output == b"onetwo"
    assert counting.exit_status == 4
    assert not counting.running


def test_a_guest_can_be_waited_for_again_and_run_to_its_end(counting: Machine) -> None:
    counting.console.expect(b"o")
    counting.console.expect(b"ne")
    counting.console.send(b"go")
    counting.console.expect(b"two")
    assert counting.run(timeout=10) == 4
    with pytest.raises(EOFError):
        counting.console.expect(b"three")


def test_a_guest_can_be_waited_for_for_ever(counting: Machine) -> None:
    counting.console.expect(b"one", timeout=float("inf"))
    counting.console.send(b"go")
    assert counting.run(timeout=10) == 4


def test_a_guest_can_be_closed_while_nobody_runs_it(counting: Machine) -> None:
    counting.console.expect(b"one")
    counting.close()
    assert counting.outcome is not None
    assert counting.outcome.kind == outcome.STOPPED
    assert not counting.running


def test_a_wait_with_a_wrong_pattern_leaves_the_guest_running(counting: Machine) -> None:
    with pytest.raises(TypeError, match="string pattern"):
        counting.console.expect(re.compile("one"))  # type: ignore[arg-type]
    counting.console.send(b"go")
    assert counting.wait(timeout=10) == 4


def test_a_started_machine_runs_before_its_thread_does(
    counting: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[Callable[[], None]] = []
    monkeypatch.setattr(execution, "start_thread", threads.append)
    counting.start()
    assert counting.running
    counting.console.send(b"go")
    (work,) = threads
    work()
    assert not counting.running
    assert counting.exit_status == 4


def test_a_machine_for_which_there_is_no_thread(
    counting: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise VmmError("can't start new thread")

    monkeypatch.setattr(execution, "start_thread", refuse)
    with pytest.raises(VmmError):
        counting.start()
    assert counting.wait(timeout=10) == outcome.STATUS_VMM_FAILURE
    assert not counting.running


@pytest.mark.usefixtures("ctrl_c")
def test_a_run_that_is_interrupted_while_another_thread_executes(counting: Machine) -> None:
    counting.turn.acquire()
    timer = threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        counting.run()
    timer.join()
    counting.turn.release()
    counting.close()
    assert counting.outcome is not None
    assert counting.outcome.kind == outcome.STOPPED


def test_several_threads_wait_for_output(counting: Machine) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(counting.console.expect(rb"one|two")[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    counting.console.send(b"go")
    for thread in threads:
        thread.join(10)
    assert sorted(found) == [b"one", b"two"]


def test_waiting_for_output_ends_in_time(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [], SPIN[arch])
    with Machine(kernel, backend=backend) as machine:
        for timeout in (0, 0.2, 0.2):
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                machine.console.expect(b"never", timeout=timeout)
            assert timeout <= time.monotonic() - start < 5
        assert machine.running
        machine.stop(9)
        assert machine.wait(timeout=10) == 9


def test_many_machines_in_many_threads(kernel: Path, arch: str, backend: str) -> None:
    requests = [request(abi.EXIT, 5, abi.EXIT_PROGRAM, 0, 0)]
    write_kernel(kernel, arch, requests, SPIN[arch])
    statuses: list[int] = []

    def work() -> None:
        for _ in range(3):
            with Machine(kernel, backend=backend) as machine:
                statuses.append(machine.run(timeout=30))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [5] * 12


def test_nothing_is_left_behind(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [request(abi.EXIT, 0, 0, 0, 0)], SPIN[arch])
    with Machine(kernel, backend=backend) as machine:  # what the first machine opens may stay
        machine.run(timeout=20)
    before = len(open_descriptors())
    for _ in range(5):
        with Machine(kernel, backend=backend) as machine:
            machine.run(timeout=20)
        Machine(kernel, backend=backend).close()
    assert len(open_descriptors()) == before


def test_machine_is_stopped_while_it_is_closed(
    kernel: Path, arch: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a signal that comes at its end: nothing is written to what was closed meanwhile."""
    write_kernel(kernel, arch, [request(abi.IDLE, NEVER)], SPIN[arch])
    machine = Machine(kernel, backend=backend)
    with pytest.raises(GuestTimeout):
        machine.run(timeout=0.05)
    close = os.close

    def close_and_stop(fd: int) -> None:
        close(fd)
        machine.stop()

    monkeypatch.setattr(os, "close", close_and_stop)
    machine.close()


def test_closing_a_running_machine_stops_it(kernel: Path, arch: str, backend: str) -> None:
    write_kernel(kernel, arch, [], SPIN[arch])
    machine = Machine(kernel, backend=backend)
    machine.start()
    time.sleep(0.1)
    machine.close()
    assert machine.outcome is not None
    assert machine.outcome.kind == outcome.STOPPED
    with pytest.raises(VmmError, match="closed"):
        machine.run()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"image": "/nonexistent"}, "/nonexistent"),
        ({"image": "no-such-program"}, "no such file, bundled program"),
        ({"memory": "12Q"}, "not a size"),
        ({"arch": "riscv"}, "'riscv' is not one of"),
        ({"backend": "qemu"}, "'qemu' is not one of"),
    ],
)
def test_what_cannot_be_is_one_line(fields: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as error:
        Machine(**{"image": "hello", **fields})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"args": "abc"}, r"args='abc': a list is needed, \['abc'\]"),
        ({"disks": Path("disk")}, "disks=.*: a list is needed"),
        ({"ports": [b"a=b"]}, "ports: b'a=b' is not a str"),
        ({"devices": "rng"}, "devices='rng': a list is needed"),
        ({"devices": Dice()}, "devices=.*: a list is needed"),
        ({"devices": [7]}, "devices: 7 is neither a str nor a Peripheral"),
        ({"args": [1]}, "args: 1 is not a str"),
        ({"disks": 1}, r"disks=1: a list is needed, \[1\]"),
        ({"memory": 64.0}, "memory=64.0: an int is needed"),
        ({"cpus": "2"}, "cpus='2': an int is needed"),
        ({"cmdline": b"quiet"}, "cmdline=b'quiet': a str is needed"),
        ({"initrd": 1}, "initrd=1: a str or a path is needed"),
        ({"env": {"a": 1}}, "env: 'a': 1 is not a str for a str"),
        ({"env": ["a=1"]}, r"env=\['a=1'\]: a dict of str is needed"),
        ({"stdin": "text"}, "stdin='text': bytes are needed"),
    ],
)
def test_what_is_of_another_type_is_told(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Machine("hello", **fields)


def test_paths_may_be_among_the_arguments(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    with Machine("hello", [disk], disks=[disk], backend="unicorn") as machine:
        assert machine.run(timeout=20) == 0
        assert str(disk).encode() in machine.console.output


def test_nobody_waits_for_what_was_not_started() -> None:
    machine = Machine("hello", backend="unicorn")
    with machine, pytest.raises(VmmError, match="has not been started"):
        machine.wait(timeout=1)
    with pytest.raises(VmmError, match="has not been started"):
        machine.wait()
    with pytest.raises(VmmError, match="the machine is closed"):
        machine.registers()


def test_kvm_refuses_a_foreign_architecture(kernel: Path) -> None:
    foreign = "arm64" if os.uname().machine == "x86_64" else "x86_64"
    write_kernel(kernel, foreign, [], SPIN[foreign])
    with pytest.raises(UsageError, match=f"cannot run {foreign} guests"):
        Machine(kernel, backend="kvm")
