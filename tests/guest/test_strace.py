"""The record of system calls: against strace(1) on the host, and where that cannot help."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.foreign.images import bzimage
from tests.guest.test_programs import build
from vmm import Machine, UsageError
from vmm.arch import host_arch

CALLS = Path(__file__).parent / "programs/calls.c"
THREADS = CALLS.with_name("threads.c")
MISSING_STRACE = "strace is not installed, or may not trace"


def record(program: str | Path, **options: object) -> list[str]:
    with Machine(program, strace=True, stdin=b"", **options) as machine:  # type: ignore[arg-type]
        machine.run(timeout=60)
        return machine.console.log.decode().splitlines()


def normalised(line: str) -> str:
    """A line without what differs between systems, or is told in words by strace alone."""
    line = re.sub(r"\)\s+= ", ") = ", line)
    line = re.sub(r" \((?:[A-Z][^)]*|flags \S+|\[\{.*\}\])\)$", "", line)
    line = re.sub(r"0x7f[0-9a-f]+", "STACK", line)
    line = re.sub(r"(set_tid_address\(.*\)|F_GETFL\)) = .*", r"\1", line)
    return re.sub(r'getcwd\(".*", 100\) = \d+', "getcwd", line)


@pytest.fixture
def host_record(tmp_path: Path) -> list[str]:
    """What strace prints of the program on this host."""
    arch = host_arch()
    if shutil.which("strace") is None or arch is None:
        pytest.skip(MISSING_STRACE)
    output = tmp_path / "strace"
    command = ["strace", "-o", str(output), str(build(CALLS, arch, "static"))]
    subprocess.run(
        command, cwd=tmp_path, check=False, stdin=subprocess.DEVNULL, capture_output=True
    )
    if not output.exists() or "exit_group" not in output.read_text():
        pytest.skip(MISSING_STRACE)
    return output.read_text().splitlines()[1:]  # the first is of the execve


def test_like_strace_on_the_host(host_record: list[str]) -> None:
    arch = host_arch()
    assert arch is not None
    lines = record(build(CALLS, arch, "static"), backend="unicorn")
    # The clock is read without a call where there is a vDSO.
    lines = [line for line in lines if not line.startswith("clock_gettime")]
    assert list(map(normalised, lines)) == list(map(normalised, host_record))


def test_lines_of_every_kind(arch: str, backend: str) -> None:
    lines = record(build(CALLS, arch, "static"), arch=arch, backend=backend)
    for line in (
        r'write(3, "a \"quoted\" line\n\1\0012\377", 20) = 20',
        r'writev(3, [{iov_base="one", iov_len=3}, {iov_base="\\two", iov_len=4}], 2) = 7',
        r"fstat(3, {st_mode=S_IFREG|0640, st_size=27, ...}) = 0",
        r'unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR) = 0',
        r"write(1, 0x10, 5) = -1 EFAULT",
        r"mprotect(0x10000000, 4096, PROT_NONE) = 0",
        r"rt_sigprocmask(SIG_UNBLOCK, [USR1], [USR1], 8) = 0",
        r"dup3(1, 30, O_CLOEXEC) = 30",
    ):
        assert line in lines
    assert lines[-2:] == ["exit_group(3) = ?", "+++ exited with 3 +++"]


def test_calls_of_threads_are_taken_up_again(arch: str) -> None:
    lines = record(build(THREADS, arch, "static"), arch=arch, backend="unicorn")
    waiting = {line.split("(")[0] for line in lines if line.endswith("<unfinished ...>")}
    resumed = set(re.findall(r"<\.\.\. (\w+) resumed>", "\n".join(lines)))
    assert any(name.endswith("futex") for name in waiting)
    assert "futex" in resumed
    for line in lines:
        assert re.fullmatch(
            r"(\[pid +\d+\] )?"
            r"(\w+\(.*( <unfinished \.\.\.>|\) = (\?|-?\d+|0x[0-9a-f]+)( E\w+)?)"
            r"|<\.\.\. \w+ resumed>.*\) = .*|\+\+\+ exited with \d+ \+\+\+)",
            line,
        ), line


def test_the_end_by_a_signal(arch: str) -> None:
    program = build(CALLS.with_name("fault_abort.c"), arch, "static")
    lines = record(program, arch=arch, backend="unicorn")
    assert lines[-1] == "+++ killed by SIGABRT +++"


def test_without_it_nothing_is_recorded(arch: str) -> None:
    with Machine("hello", arch=arch, backend="unicorn") as machine:
        machine.run(timeout=60)
        assert machine.console.log == b""


def test_a_kernel_has_no_system_calls(tmp_path: Path) -> None:
    image = tmp_path / "kernel"
    image.write_bytes(bzimage(b"\xf4"))
    with pytest.raises(UsageError, match="--strace is for programs"):
        record(image)
