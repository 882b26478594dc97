"""`vmm run` as a user types it: output, exit statuses, one line for all that is wrong."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.vmm.machine.kernels import SPIN, request, text_offset, write_kernel
from vmm.hypercall import abi

VMM = [sys.executable, "-m", "vmm"]


def vmm(*words: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    # What is typed is there before the guest asks once for it.
    reader, writer = os.pipe()
    os.write(writer, stdin)
    os.close(writer)
    with open(reader, "rb") as typed:
        return subprocess.run(
            [*VMM, *words],
            check=False,
            stdin=typed,
            capture_output=True,
            timeout=60,
            env={**os.environ, **environment},
        )


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once its guest has said hello; it is killed if it does not end by itself."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(6) == b"hello\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return tmp_path / "kernel.elf"


def test_streams_and_exit_status(kernel: Path, arch: str, backend: str) -> None:
    requests = [
        request(abi.CONSOLE_WRITE, text_offset(arch, 0), 4, abi.STREAM_OUTPUT),
        request(abi.CONSOLE_WRITE, text_offset(arch, 1), 6, abi.STREAM_ERROR),
        request(abi.EXIT, 42, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"out\n", b"error\n"))
    done = vmm("run", "--backend", backend, str(kernel))
    assert done.returncode == 42
    assert done.stdout == b"out\n"
    title = f"vmm: calypso-kernel, calypso protocol, {arch} board, {backend} backend: as asked for"
    assert done.stderr.splitlines() == [title.encode(), b"error"]
    assert vmm("run", "--quiet", "--backend", backend, str(kernel)).stderr == b"error\n"


def test_auto_says_in_one_line_what_it_chose_and_why(kernel: Path, arch: str) -> None:
    write_kernel(kernel, arch, [request(abi.EXIT, 0, 0, 0, 0)], SPIN[arch])
    done = vmm("run", str(kernel))
    assert done.returncode == 0
    (line,) = done.stderr.decode().splitlines()
    title, _, reason = line.partition(" backend: ")
    assert title.startswith(f"vmm: calypso-kernel, calypso protocol, {arch} board, ")
    assert title.endswith((" unicorn", " kvm"))
    assert reason


def test_standard_input_reaches_the_guest(kernel: Path, arch: str) -> None:
    requests = [
        request(abi.CONSOLE_READ, text_offset(arch, 0), 5),
        request(abi.CONSOLE_WRITE, text_offset(arch, 0), 5, abi.STREAM_OUTPUT),
        request(abi.EXIT, 0, 0, 0, 0),
    ]
    write_kernel(kernel, arch, requests, SPIN[arch])
    done = vmm("run", "--backend", "unicorn", str(kernel), stdin=b"typed")
    assert done.stdout == b"typed"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_do_no_harm(kernel: Path, closed: str) -> None:
    requests = [
        request(abi.CONSOLE_WRITE, text_offset("x86_64", 0), 4, abi.STREAM_OUTPUT),
        request(abi.CONSOLE_READ, text_offset("x86_64", 0), 5),
        request(abi.EXIT, 42, abi.EXIT_PROGRAM, 0, 0),
    ]
    write_kernel(kernel, "x86_64", requests, SPIN["x86_64"], texts=(b"out\n",))
    words = [*VMM, "run", "--quiet", "--backend", "unicorn", str(kernel)]
    script = f'exec "$@" {closed}'
    done = subprocess.run(["sh", "-c", script, "sh", *words], check=False, capture_output=True)
    assert done.returncode == 42
    assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else b"out\n")
    assert done.stderr == b""


@pytest.mark.parametrize("limit", [5, 6, 8, 10])
def test_too_low_a_limit_on_open_files_is_told_in_one_line(
    kernel: Path, arch: str, backend: str, limit: int
) -> None:
    exits = request(abi.EXIT, 42, abi.EXIT_PROGRAM, 0, 0)
    write_kernel(kernel, arch, [exits], SPIN[arch])
    words = [*VMM, "run", "--quiet", "--backend", backend, str(kernel)]
    script = f'ulimit -n {limit}; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *words], check=False, capture_output=True)
    assert done.returncode in (2, 125)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("vmm: ")
    assert "ulimit -n" in line


@pytest.mark.parametrize(
    "options",
    [[], ["--timeout=5"], ["--cpus=2"], ["--vsock=3={socket}"], ["--port=one={socket}"]],
    ids=" ".join,
)
def test_a_host_that_refuses_threads_is_told_in_one_line(
    kernel: Path, arch: str, backend: str, options: list[str]
) -> None:
    """What was made for the machine is gone, too; where no thread is needed, it runs."""
    exits = request(abi.EXIT, 42, abi.EXIT_PROGRAM, 0, 0)
    write_kernel(kernel, arch, [exits], SPIN[arch])
    given = [option.format(socket=kernel.with_name("socket")) for option in options]
    words = [*VMM, "run", "--quiet", "--backend", backend, *given, str(kernel)]
    stack = 1 << 60  # for which no address space has room; each new thread's is as large
    if 0 <= resource.getrlimit(resource.RLIMIT_STACK)[1] < stack:
        pytest.skip("needs a limit on stacks that can be raised")
    script = f'ulimit -s {stack >> 10}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert {*os.listdir(kernel.parent)} == {kernel.name}
    if done.returncode == 42:
        assert not options
        assert done.stderr == b""
        return
    assert done.returncode == 125
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("vmm: can't start new thread: raise the limits")


def test_what_a_module_registered_for_the_end_is_done(kernel: Path, arch: str) -> None:
    write_kernel(kernel, arch, [request(abi.EXIT, 42, abi.EXIT_PROGRAM, 0, 0)], SPIN[arch])
    code = "import atexit, runpy; atexit.register(print, 'the end'); runpy.run_module('vmm')"
    words = [sys.executable, "-c", code, "run", "--quiet", "--backend", "unicorn", str(kernel)]
    done = subprocess.run(words, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (42, b"the end\n")


def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*VMM, "devices"], check=False, stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 125
    assert done.stderr == b"vmm: output: No space left on device\n"


def test_timeout_is_124_with_the_state_of_the_guest(kernel: Path, arch: str) -> None:
    write_kernel(kernel, arch, [], SPIN[arch])
    done = vmm("run", "--timeout", "0.3", "--backend", "unicorn", str(kernel))
    assert done.returncode == 124
    assert b"stopped after 0.3 s" in done.stderr
    assert (b"rip 0x" if arch == "x86_64" else b"pc 0x") in done.stderr
    assert b"no device was accessed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_signal_ends_a_looping_guest_and_nothing_is_left(
    kernel: Path, arch: str, backend: str, number: int
) -> None:
    hello = request(abi.CONSOLE_WRITE, text_offset(arch, 0), 6, abi.STREAM_OUTPUT)
    write_kernel(kernel, arch, [hello], SPIN[arch], texts=(b"hello\n",))
    socket, trace = kernel.with_name("socket"), kernel.with_name("trace")
    words = ["--port", f"a={socket}", "--trace", str(trace), str(kernel)]
    # Whoever runs the tests in the background may have interrupts ignored.
    with running(["env", "--default-signal", *VMM, "run", "--backend", backend, *words]) as process:
        assert socket.exists()
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number
    assert not socket.exists()
    assert trace.stat().st_size


def test_a_signal_that_is_ignored_stays_so(kernel: Path) -> None:
    hello = request(abi.CONSOLE_WRITE, text_offset("x86_64", 0), 6, abi.STREAM_OUTPUT)
    write_kernel(kernel, "x86_64", [hello], SPIN["x86_64"], texts=(b"hello\n",))
    words = ["run", "--backend", "unicorn", "--timeout", "1", str(kernel)]
    with running(["nohup", *VMM, *words]) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=20) == 124


def test_panic_is_126(kernel: Path, arch: str) -> None:
    requests = [request(abi.EXIT, 1, abi.EXIT_PANIC, text_offset(arch, 0), 4)]
    write_kernel(kernel, arch, requests, SPIN[arch], texts=(b"oops",))
    done = vmm("run", "--backend", "unicorn", str(kernel))
    assert done.returncode == 126
    assert b"the guest panicked: oops" in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "/nonexistent"], "/nonexistent"),
        (["run", "/etc"], "/etc"),
        (["run", "/etc/passwd"], "/etc/passwd"),
        (["run", "no-such-program"], "no such file, bundled program"),
        (["run", "--memory", "lots", "KERNEL"], "'lots' is not a size"),
        (["run", "--memory", "64X", "KERNEL"], "'64X' is not a size"),
        (["run", "--memory", "1K", "KERNEL"], "not between 1M"),
        (["run", "--memory", "9" * 5000, "KERNEL"], "is not a size"),
        (["run", "--cpus", "0", "KERNEL"], "vCPU"),
        (["run", "--cpus", "9" * 5000, "KERNEL"], "is not a valid integer"),
        (["run", "--memory", "-1", "KERNEL"], "'-1' is not a size"),
        (["run", "--memory"], "'--memory' requires an argument. ('vmm run --help'"),
        (["run", "--cpus", "-1", "KERNEL"], "-1 vCPUs are not between"),
        (["run", "--cpus", "two", "KERNEL"], "'two' is not a valid integer"),
        (["run", "--timeout", "0", "KERNEL"], "--timeout 0: not a number of seconds"),
        (["run", "--timeout", "nan", "KERNEL"], "--timeout nan"),
        (["run", "--timeout", "inf", "KERNEL"], "--timeout inf"),
        (["run", "--env", "NOEQUALS", "KERNEL"], "write NAME=CONTENT"),
        (["run", "--backend", "qemu", "KERNEL"], "'qemu'"),
        (["run", "--initrd", "/nonexistent.cpio", "KERNEL"], "/nonexistent.cpio"),
        (["run", "--initrd", "/etc/passwd", "KERNEL"], "not a cpio archive of format newc"),
        (["run", "--root", "/", "/etc/passwd"], "vmm: /etc/passwd: a text file"),
        (["run", "--trace-format", "perfetto", "KERNEL"], "there is no --trace"),
        (["run", "--device", "no.such:Device", "KERNEL"], "there is no module 'no' in /"),
        (["run", "--share", "/:\udcff", "KERNEL"], "--share: '\\udcff' is not in UTF-8"),
        (["run", "--bogus", "KERNEL"], "--bogus"),
        (["completion"], "Choose from: bash, zsh, fish"),
        (["run"], "IMAGE"),
        (["walk"], "walk"),
        (["inspect", "/nonexistent"], "/nonexistent"),
    ],
)
def test_wrong_usage_is_one_line_and_2(kernel: Path, words: list[str], complaint: str) -> None:
    write_kernel(kernel, "x86_64", [request(abi.EXIT, 0, 0, 0, 0)], SPIN["x86_64"])
    done = vmm(*[word.replace("KERNEL", str(kernel)) for word in words])
    assert done.returncode == 2
    assert done.stdout == b""
    lines = [line for line in done.stderr.decode().splitlines() if " backend: " not in line]
    assert len(lines) == 1
    assert lines[0].startswith("vmm: ")
    assert complaint in lines[0]


@pytest.mark.parametrize(
    "words", ["--help", "doctor", "run --help", "run --quiet --dry-run KERNEL"]
)
def test_a_full_disk_is_told_in_one_line(kernel: Path, words: str) -> None:
    write_kernel(kernel, "x86_64", [], SPIN["x86_64"])
    # The script that pip installs, which leaves by the interpreter's own way.
    command = [sys.executable, "-c", "import sys; from vmm.cli import main; sys.exit(main())"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*command, *words.replace("KERNEL", str(kernel)).split()],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert done.returncode == 125
    assert done.stderr == b"vmm: output: No space left on device\n"


def test_dynamic_program_without_its_interpreter_is_refused(tmp_path: Path) -> None:
    ours = os.path.realpath("/bin/sh")
    done = vmm("run", ours)
    assert done.returncode == 2
    assert b"dynamically linked" in done.stderr
    assert b"--initrd" in done.stderr
    trailer = b"070701" + b"0" * 88 + b"0000000B" + b"0" * 8 + b"TRAILER!!!\0" + bytes(3)
    archive = tmp_path / "empty.cpio"
    archive.write_bytes(trailer)
    done = vmm("run", "--quiet", "--backend", "unicorn", "--initrd", str(archive), ours)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("vmm: cannot run ")
    assert "not in the root directory" in line
