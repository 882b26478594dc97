"""Service calls: the host calls the guest's kernel."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm import GuestStopped, GuestTimeout, Machine, UsageError
from vmm.hypercall import abi
from vmm.images.bundled import kernel_path
from vmm.service.guest import Guest

U32 = st.integers(0, 0xFFFF_FFFF)
U64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)

# Longer than anything takes, even where ring 0 is emulated; what hangs ends all the same.
PATIENCE = 30


@pytest.fixture
def machine(arch: str, backend: str) -> Iterator[Machine]:
    with Machine.service(arch=arch, backend=backend) as machine:
        machine.guest.timeout = PATIENCE
        yield machine


@pytest.fixture
def g(machine: Machine) -> Guest:
    return machine.guest


@contextmanager
def raises(number: int) -> Iterator[None]:
    with pytest.raises(OSError, match=rf"^\[Errno {number}\]"):
        yield


# ---- Calls ----


def test_names_of_the_system(g: Guest) -> None:
    g.syscall("sethostname", b"newname", 3)
    g.syscall("setdomainname", b"example.org", 11)
    assert g.uname().nodename == "new"
    domain = bytearray(6 * 65)
    g.syscall("uname", domain)
    assert domain[5 * 65 :].rstrip(b"\0") == b"example.org"
    with raises(errno.EINVAL):
        g.syscall("sethostname", bytes(65), 65)
    with raises(errno.EPERM):
        g.syscall("clock_settime", time.CLOCK_REALTIME, bytes(16))


def test_results_and_errors(g: Guest) -> None:
    assert g.getpid() == 1
    fd = g.open("/file", os.O_RDWR | os.O_CREAT, 0o640)
    assert fd == 3  # descriptors 0 to 2 are open
    assert g.write(fd, b"hello, world") == 12
    assert g.lseek(fd, 7, os.SEEK_SET) == 7
    assert g.read(fd, 100) == b"world"
    assert g.read(fd, 100) == b""
    assert g.preadv(fd, [3, 4, 9], 0) == [b"hel", b"lo, ", b"world"]
    assert g.writev(fd, [b"!", b"!!"]) == 3
    status = g.fstat(fd)
    assert (status.st_size, oct(status.st_mode)) == (15, "0o100640")
    assert g.listdir("/") == [*g.listdir("/")]
    assert "file" in g.listdir("/")
    g.close(fd)
    with pytest.raises(FileNotFoundError):
        g.open("/missing", os.O_RDONLY)
    with raises(errno.EBADF):
        g.read(fd, 1)


def test_flags_are_those_of_the_host(g: Guest) -> None:
    g.mkdir("/directory")
    g.symlink("directory", "/link")
    assert g.close(g.open("/link", os.O_RDONLY | os.O_DIRECTORY)) is None
    with raises(errno.ELOOP):
        g.open("/link", os.O_RDONLY | os.O_NOFOLLOW)
    with pytest.raises(NotADirectoryError):
        g.open("/dev/null", os.O_RDONLY | os.O_DIRECTORY)
    _, w = g.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    assert g.fcntl(w, 3) == os.O_WRONLY | os.O_DIRECT | os.O_NONBLOCK


def test_any_call_by_name_or_number(g: Guest) -> None:
    buffer = bytearray(8)
    r, w = g.pipe()
    assert g.syscall("write", w, b"abc", 3) == 3
    assert g.syscall("read", r, buffer, 8) == 3
    assert buffer == b"abc" + bytes(5)
    assert g.syscall({"x86_64": 39, "arm64": 172}[g.arch]) == 1
    with raises(errno.ENOSYS):
        g.syscall("no_such_call")
    with raises(errno.ENOSYS):
        g.syscall(100_000)
    g.write(w, b"abc")
    with raises(errno.EFAULT):
        g.syscall("read", r, 1 << 63, 8)


def test_calls_that_only_a_program_can_make(g: Guest) -> None:
    for name in ("clone", "execve", "exit", "rt_sigreturn"):
        with raises(errno.ENOSYS):
            g.syscall(name, 0, 0, 0)
    with raises(errno.EINVAL):
        g.syscall("sigaltstack", b"\xff" * 24, 0)


def test_memory_of_the_guest(g: Guest) -> None:
    private, anonymous, both = 2, 0x20, 3
    address = g.mmap(0, 8192, both, private | anonymous)
    assert g.write_memory(address + 4090, b"across pages") == 12
    assert g.read_memory(address + 4088, 16) == b"\0\0across pages\0\0"
    g.munmap(address, 8192)
    with raises(errno.EFAULT):
        g.read_memory(address, 1)


def test_large_transfers(g: Guest) -> None:
    data = bytes(range(256)) * 2048
    fd = g.open("/large", os.O_RDWR | os.O_CREAT)
    assert g.write(fd, data) == len(data)
    assert g.pread(fd, 1 << 30, 0) == data
    with raises(errno.ENOBUFS):
        g.readv(fd, [1 << 24])
    assert g.pread(fd, 3, 0) == data[:3]


# ---- Tasks ----


def test_a_task_waits_while_another_goes_on(g: Guest) -> None:
    r, w = g.pipe()
    with g.task() as t:
        pending = t.begin(t.read, r, 100)
        assert g.getpid() == 1
        assert not pending.done
        g.write(w, b"now")
        assert pending.result() == b"now"


def test_an_error_beside_a_waiting_call_is_not_covered(g: Guest) -> None:
    r, w = g.pipe()
    t = g.task()
    waiting = t.begin(t.read, r, 1)
    with pytest.raises(ZeroDivisionError), t:
        raise ZeroDivisionError
    g.write(w, b"x")
    assert waiting.result() == b"x"
    t.end()


def test_threads_of_the_host_use_tasks_at_once(g: Guest) -> None:
    received: list[bytes] = []
    r, w = g.pipe()
    back_r, back_w = g.pipe()
    t = g.task()

    def echo() -> None:
        while data := t.read(r, 100):
            received.append(data)
            t.write(back_w, data)

    thread = threading.Thread(target=echo)
    thread.start()
    for number in range(50):
        g.write(w, b"%d" % number)
        assert g.read(back_r, 100) == b"%d" % number
    g.close(w)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert received == [b"%d" % number for number in range(50)]


def test_files_are_shared_or_not(g: Guest) -> None:
    fd = g.open("/file", os.O_RDWR | os.O_CREAT)
    g.mkdir("/directory")
    with g.task() as same:
        same.chdir("/directory")
        assert same.dup(fd) == fd + 1
        assert g.getcwd() == "/directory"
    with g.task(share_files=False) as other:
        assert other.getcwd() == "/"
        with raises(errno.EBADF):
            other.fstat(fd)
        assert other.open("/file", os.O_RDONLY) == 3
    assert g.fstat(fd + 1).st_size == 0


def test_ends_of_tasks_give_everything_back(g: Guest) -> None:
    def free() -> int:
        fd = g.open("/proc/meminfo", os.O_RDONLY)
        text = g.read(fd, 4096).decode()
        g.close(fd)
        return int(text.split("MemFree:")[1].split()[0])

    def cycle() -> None:
        tasks = [g.task(share_files=bool(number % 2)) for number in range(20)]
        for task in tasks:
            task.pipe()
        for task in tasks:
            task.end()
        g.close_range(3, 1 << 20)

    cycle()
    before = free()
    for _ in range(5):
        cycle()
    assert free() == before


# ---- The machine ----


def test_a_call_that_takes_too_long_ends_the_machine(machine: Machine) -> None:
    g = machine.guest
    r, _ = g.pipe()
    g.timeout = 0.1
    with pytest.raises(GuestTimeout, match=r"more than 0\.1 s"):
        g.read(r, 1)
    assert machine.exit_status == 124
    with pytest.raises(GuestTimeout):
        g.getpid()


def test_a_guest_that_ends_says_so(machine: Machine) -> None:
    g = machine.guest
    with pytest.raises(GuestStopped, match="exited with status 7") as info:
        g.syscall("exit_group", 7)
    assert "host_" in info.value.report
    assert machine.exit_status == 7


def test_a_panic_is_told_with_its_reason(machine: Machine) -> None:
    g = machine.guest
    with open(kernel_path(machine.arch), "rb") as file:
        (symbol,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("sys_getsid")
    kernel = next(place for place in machine.loaded.places if place.name == "kernel text")
    distance = kernel.virtual - kernel.physical
    illegal = {"x86_64": b"\x0f\x0b", "arm64": bytes(4)}[machine.arch]
    machine.memory.write(symbol["st_value"] - distance, illegal)
    with pytest.raises(GuestStopped, match=r"panicked: .* in the kernel") as info:
        g.syscall("getsid", 0)
    assert "sys_getsid" in info.value.report
    assert machine.exit_status == 126


def test_output_of_calls_is_the_consoles(machine: Machine) -> None:
    machine.guest.write(1, b"from the host\n")
    assert machine.console.output == b"from the host\n"


def test_a_machine_without_services_says_how_to_get_them() -> None:
    with (
        Machine("hello", backend="unicorn") as machine,
        pytest.raises(UsageError, match=r"Machine\.service"),
    ):
        machine.guest  # noqa: B018


def test_calls_beside_a_program(busybox: Path, arch: str, backend: str) -> None:
    with Machine(busybox, ["cat", "-", "/file"], backend=backend, services=True) as machine:
        g = machine.guest
        g.timeout = PATIENCE
        g.close(1)  # descriptors are its own
        fd = g.open("/file", os.O_WRONLY | os.O_CREAT)
        g.write(fd, b"and this")
        machine.console.send(b"read this, ")
        machine.console.close_input()
        with pytest.raises(GuestStopped, match="exited with status 0"):
            g.sleep(PATIENCE)
        assert machine.console.output == b"read this, and this"


def test_calls_beside_a_program_that_computes(busybox: Path, arch: str, backend: str) -> None:
    loop = ["sh", "-c", "while :; do :; done"]
    with Machine(busybox, loop, backend=backend, services=True) as machine:
        g = machine.guest
        g.timeout = PATIENCE
        r, w = g.pipe()
        with g.task() as t:
            pending = t.begin(t.read, r, 10)
            g.write(w, b"abc")
            assert pending.result() == b"abc"
        assert machine.outcome is None


def test_calls_while_the_machine_runs_by_itself(busybox: Path, arch: str, backend: str) -> None:
    with Machine(busybox, ["cat"], backend=backend, services=True) as machine:
        machine.start()
        g = machine.guest
        g.timeout = PATIENCE
        for number in range(20):
            machine.console.send(b"%d\n" % number)
            assert machine.console.expect(rb"\d+\n", PATIENCE)[0] == b"%d\n" % number
            assert g.getpid() == 1
        machine.console.close_input()
        assert machine.wait(PATIENCE) == 0


def test_run_goes_on_with_what_calls_began(busybox: Path, arch: str, backend: str) -> None:
    with Machine(busybox, ["cat"], backend=backend, services=True) as machine:
        assert machine.guest.getpid() == 1
        machine.console.send(b"text")
        machine.console.close_input()
        assert machine.run(PATIENCE) == 0
        assert machine.console.output == b"text"


# ---- Malformed entries ----

ENTRIES = st.tuples(
    st.sampled_from([0, abi.CALL, abi.TASK_NEW, abi.TASK_END, 4, 0xFFFF_FFFF]),
    st.one_of(st.just(0), U32),
    st.sampled_from([0, abi.FIRST_TASK, 2, 0xFFFF_FFFF]),
    st.sampled_from([39, 172, 1000, 0x8000_0000, 0xFFFF_FFFF]),
    st.tuples(*[U64] * 6),
)


def expected(operation: int, flags: int, task: int, number: int, arch: str) -> int | None:
    """The result that the ABI gives an entry; None: it may make a task."""
    if operation not in (abi.CALL, abi.TASK_NEW, abi.TASK_END):
        return -errno.EINVAL
    if flags & ~(abi.TASK_SHARES_FILES if operation == abi.TASK_NEW else 0):
        return -errno.EINVAL
    if operation == abi.TASK_END and task == abi.FIRST_TASK:
        return -errno.EINVAL
    if task != abi.FIRST_TASK:
        return -errno.ESRCH
    if operation == abi.TASK_NEW:
        return None
    known = {"x86_64": {39: 1, 172: -errno.ENOSYS}, "arm64": {172: 1, 39: -errno.ENOSYS}}
    return known[arch].get(number, -errno.ENOSYS)


def test_malformed_entries_get_their_errors(arch: str) -> None:
    with Machine.service(arch=arch, backend="unicorn") as machine:
        g = machine.guest
        g.timeout = PATIENCE

        @settings(max_examples=60)
        @given(st.lists(ENTRIES, max_size=5))
        def check(entries: list[tuple[int, int, int, int, tuple[int, ...]]]) -> None:
            for operation, flags, task, number, arguments in entries:
                call = g.caller.submit(operation, flags, task, number, *arguments)
                result = g.caller.wait(call)
                wanted = expected(operation, flags, task, number, arch)
                if wanted is None:
                    assert result > abi.FIRST_TASK
                    end = g.caller.submit(abi.TASK_END, 0, result, 0, *[0] * 6)
                    assert g.caller.wait(end) == 0
                elif not (arch == "x86_64" and number == 172 and wanted == -errno.ENOSYS):
                    assert result == wanted
            assert g.getpid() == 1

        check()


def test_a_task_that_has_a_call_is_busy(g: Guest) -> None:
    r, w = g.pipe()
    t = g.task()
    pending = t.begin(t.read, r, 1)
    g.getpid()  # lets the task begin
    call = g.caller.submit(abi.CALL, 0, t.number, 0, *[0] * 6)
    assert g.caller.wait(call) == -errno.EBUSY
    g.write(w, b"x")
    assert pending.result() == b"x"
