"""What programs find in the guest that they find nowhere else."""

from __future__ import annotations

import gzip
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest.build import ROOT
from tests.guest.test_programs import build
from tests.guest.tree import Entry, directory, make_archive, regular, symlink
from vmm import Machine
from vmm.arch import host_arch

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
TIMEOUT = 20.0


class Ran:
    """A machine's end, with all that it wrote."""

    def __init__(self, machine: Machine) -> None:
        self.status = machine.run(timeout=TIMEOUT)
        self.output = machine.console.output.decode()
        self.log = machine.console.log.decode()
        assert machine.outcome is not None
        self.message = machine.outcome.message


def run(image: str | Path, *words: str, stdin: bytes = b"", **options: object) -> Ran:
    with Machine(image, words, stdin=stdin, **options) as machine:  # type: ignore[arg-type]
        return Ran(machine)


def archive(tmp_path: Path, entries: list[Entry]) -> Path:
    path = tmp_path / "initrd.cpio"
    path.write_bytes(make_archive(entries))
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_program_of_the_archive_knows_its_path(
    arch: str, busybox: Path, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    entries = [
        directory("usr"),
        directory("usr/bin"),
        regular("usr/bin/busybox", busybox.read_bytes(), mode=0o755),
        symlink("bin", "usr/bin"),
        symlink("usr/bin/readlink", "../../bin/busybox"),
    ]
    packed = tmp_path / "packed"
    packed.write_bytes(pack(archive(tmp_path, entries).read_bytes()))
    ran = run("/bin/readlink", "/proc/self/exe", initrd=packed, backend="unicorn")
    assert ran.output == "/usr/bin/busybox\n"


def test_hello(arch: str, backend: str) -> None:
    ran = run("hello", "and", "more", arch=arch, backend=backend)
    assert ran.output == (
        f"Hello from a small {arch} program, and welcome!\nYou told me: and more\n"
    )
    assert ran.status == 0


@pytest.mark.skipif(host_arch() is None, reason="no program is bundled for this host")
def test_hello_runs_on_linux_too() -> None:
    arch = host_arch()
    program = ROOT / f"vmm/artifacts/programs/{arch}/hello"
    output = subprocess.run([program, "a b"], capture_output=True, text=True, check=True).stdout
    assert output == run("hello", "a b", arch=arch, backend="unicorn").output


def test_uname(arch: str, busybox: Path) -> None:
    ran = run(busybox, "uname", "-a", backend="unicorn")
    expected = f"Linux calypso 6.1.0-calypso #1 Calypso {MACHINES[arch]} GNU/Linux\n"
    assert ran.output == expected


def test_hostname_is_given_on_the_command_line(busybox: Path) -> None:
    ran = run(busybox, "hostname", backend="unicorn", cmdline="hostname=box quiet")
    assert ran.output == "box\n"


def test_time_is_the_hosts(arch: str, busybox: Path) -> None:
    before = int(time.time())
    ran = run(busybox, "date", "+%s", backend="unicorn")
    assert before <= int(ran.output) <= time.time()


def test_sleep_takes_its_time_though_input_waits(arch: str, busybox: Path) -> None:
    start = time.monotonic()
    ran = run(busybox, "sleep", "0.2", stdin=b"not read", backend="unicorn")
    assert ran.status == 0
    assert time.monotonic() - start >= 0.2


def test_random_numbers_differ_between_boots(arch: str, busybox: Path) -> None:
    words = ("od", "-A", "n", "-t", "x1", "-N", "16", "/dev/urandom")
    outputs = {run(busybox, *words, backend="unicorn").output for _ in range(3)}
    assert len(outputs) == 3


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("readlink /proc/self/exe", r"/.*busybox\n"),
        ("readlink /proc/self", r"1\n"),
        ("readlink /proc/self/cwd", r"/\n"),
        ("cat /proc/self/comm", r"busybox\n"),
        ("cat /proc/self/cmdline", r".*busybox\0cat\0/proc/self/cmdline\0"),
        ("cat /proc/version", r"Linux version 6\.1\.0-calypso .*\n"),
        ("head -n 1 /proc/self/status", r"Name:\tbusybox\n"),
        ("cat /proc/self/stat", r"1 \(busybox\) R 0 1 1 0 -1( \d+){43} 0\n"),
        ("cat /proc/stat", r"cpu  \d+( 0){9}\n(?s:.*)btime \d+\n(?s:.*)"),
        ("cat /proc/cpuinfo", r"processor\t: 0\n(?s:.+)\n\n"),
        ("cat /proc/sys/kernel/random/uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n"),
        ("cat /proc/self/mountinfo", r"1 0 0:1 / / .*\n2 1 0:3 / /proc .*\n"),
        ("cat /proc/uptime", r"\d+\.\d\d 0\.00\n"),
        ("cat /proc/swaps", r"Filename\t+Type\t+Size\t+Used\t+Priority\n"),
        ("head -n 1 /proc/vmstat", r"nr_free_pages \d+\n"),
        ("grep MemTotal /proc/meminfo", r"MemTotal: +6\d{4} kB\n"),
        ("mount", r"rootfs on / type rootfs \(rw\)\nproc on /proc type proc \(rw,relatime\)\n"),
        (
            "ls /dev",
            r"console\nfd\nfull\nhwrng\nnull\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n",
        ),
        ("ls /proc/self/fd", r"0\n1\n2\n3\n"),
        ("readlink /proc/self/fd/0", r"pipe:\[1\]\n"),
        ("sh -c exec\\ 5</dev;exec\\ readlink\\ /proc/self/fd/5", r"/dev\n"),
        ("head -c 3 /dev/zero", r"\0\0\0"),
        ("cat /dev/null", r""),
        ("cp /dev/zero /dev/full", r"cp: .*No space left on device\n"),
        ("cat /dev/tty", r"cat: can't open '/dev/tty': No such device or address\n"),
        ("tee /dev/stderr", r"in\nin\n"),
        ("cat /dev/stdin", r"in\n"),
        ("free", r"(?s).*Mem: +6\d{4} .*"),
        ("nproc", r"1\n"),
        ("sh -c pwd;cd\\ /proc/1/fd;pwd", r"/\n/proc/1/fd\n"),
    ],
)
def test_proc_and_dev(words: str, pattern: str, busybox: Path, arch: str) -> None:
    split = [word.replace("\\ ", " ") for word in re.split(r"(?<!\\) ", words)]
    output = run(busybox, *split, stdin=b"in\n", backend="unicorn").output
    assert re.fullmatch(pattern, output), output


def test_missing_system_calls_are_named_once(arch: str, busybox: Path) -> None:
    words = ("swapoff", "/dev/null", "/dev/zero")
    ran = run(busybox, *words, backend="unicorn", cmdline="loglevel=2")
    assert len(re.findall(r"system call \d+ \(swapoff\) is not implemented", ran.log)) == 1
    assert ran.output.count("Function not implemented") == 2
    assert run(busybox, "true", backend="unicorn").log == ""


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("KILL", 9), ("SEGV", 11)])
def test_signals_kill(name: str, number: int, arch: str, busybox: Path) -> None:
    ran = run(busybox, "sh", "-c", f"kill -{name} $$", backend="unicorn")
    assert ran.status == 128 + number
    assert ran.message.startswith(f"program killed by SIG{name}")


class TestExecution:
    """execve, with programs from the initrd."""

    @pytest.fixture
    def initrd(self, tmp_path: Path, busybox: Path) -> Path:
        entries = [
            directory("bin"),
            regular("bin/busybox", busybox.read_bytes(), 0o755),
            symlink("bin/cat", "busybox"),
            regular("text", b"content\n"),
            regular("script", b"#! /bin/busybox sh\necho $0 $#: $1 $2\nexit 6\n", 0o755),
            regular("indirect", b"#!/script  and more \n", 0o755),
            regular("broken", b"\x7fELF and no more", 0o755),
            regular("endless", b"#!/endless\n", 0o755),
        ]
        return archive(tmp_path, entries)

    @pytest.mark.parametrize(
        ("command", "output", "status"),
        [
            ("exec /bin/cat /text", "content\n", 0),
            ("cd bin; exec ./cat ../text", "content\n", 0),
            ("exec /script a 'b c'", "/script 2: a b c\n", 6),
            ("exec /indirect x", "/script 3: and more /indirect\n", 6),
            ("exec env -i A=1 /bin/busybox env", "A=1\n", 0),
            ("exec /bin/busybox readlink /proc/self/exe", "/bin/busybox\n", 0),
            ("exec chroot /bin /busybox ls", "busybox\ncat\n", 0),
            ("exec 3</text; exec /bin/busybox cat /dev/fd/3", "content\n", 0),
        ],
    )
    def test_another_program(
        self, command: str, output: str, status: int, arch: str, busybox: Path, initrd: Path
    ) -> None:
        ran = run(busybox, "sh", "-c", command, initrd=initrd, backend="unicorn")
        assert (ran.output, ran.status) == (output, status)

    @pytest.mark.parametrize(
        ("program", "reason"),
        [
            ("/nothing", "No such file or directory"),
            ("/text", "Permission denied"),
            ("/bin", "Permission denied"),
            ("/endless", "Symbolic link loop|Too many levels of symbolic links"),
        ],
    )
    def test_what_cannot_be_executed(
        self, program: str, reason: str, arch: str, busybox: Path, initrd: Path
    ) -> None:
        ran = run(busybox, "env", program, initrd=initrd, backend="unicorn")
        assert re.search(reason, ran.output)
        assert ran.status in (126, 127)


class Terminal:
    """`vmm run` with a pseudo-terminal, as somebody at a keyboard has it."""

    def __init__(self, *words: str) -> None:
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.execv(sys.executable, [sys.executable, "-m", "vmm", "run", "--quiet", *words])
        self._screen = b""

    def expect(self, pattern: bytes) -> bytes:
        """Wait until the screen shows something; what it showed up to there."""
        deadline = time.monotonic() + TIMEOUT
        while (match := re.search(pattern, self._screen)) is None:
            assert time.monotonic() < deadline, self._screen
            if select.select([self.master], [], [], 0.1)[0]:
                self._screen += os.read(self.master, 4096)
        seen, self._screen = self._screen[: match.end()], self._screen[match.end() :]
        return seen

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        os.close(self.master)
        return status


def test_a_shell_at_a_terminal(arch: str, busybox: Path) -> None:
    terminal = Terminal("--backend", "unicorn", str(busybox), "sh")
    terminal.expect(b"/ # ")
    terminal.type(b"echo one $((1+1))\r")
    terminal.expect(rb"one 2\r")
    terminal.type(b"test -t 0 && test -t 1 && test -t 2 && echo all\\ three\r")
    terminal.expect(rb"\nall three\r")
    # The shell reads this line through the terminal, which echoes and edits it.
    terminal.type(b"echo g''o; read line; echo \"[$line]\"\r")
    terminal.expect(rb"\ngo\r")
    terminal.type(b"wrokg\x7f\x7f\x7f\x7fords\r")
    terminal.expect(rb"\n\[words\]\r")
    terminal.type(b"cd /dev; pwd\r")
    terminal.expect(rb"/dev # ")
    terminal.type(b"exit 5\r")
    assert terminal.close() == 5


def test_ctrl_c_ends_a_program_that_waits(busybox: Path) -> None:
    terminal = Terminal("--backend", "unicorn", str(busybox), "sh", "-c", "echo up; exec cat")
    terminal.expect(b"up")
    terminal.type(b"line\r")
    terminal.expect(rb"line\r+\nline\r+\n")
    terminal.type(b"\x03")
    assert terminal.close() == 130


def test_ctrl_c_ends_a_program_that_computes(arch: str, backend: str, busybox: Path) -> None:
    script = "echo up; while :; do :; done"
    terminal = Terminal("--backend", backend, str(busybox), "sh", "-c", script)
    terminal.expect(b"up")
    terminal.type(b"\x03")
    assert terminal.close() == 130


def test_a_thread_reads_beside_one_that_computes(arch: str, backend: str) -> None:
    source = Path(__file__).parent / "programs/reading_beside.c"
    terminal = Terminal("--backend", backend, str(build(source, arch, "static")))
    terminal.expect(b"computing")
    terminal.type(b"a line\r")
    terminal.expect(rb"read: a line\r")
    assert terminal.close() == 0


def test_a_thread_reads_a_pipe_beside_one_that_computes(arch: str, backend: str) -> None:
    source = Path(__file__).parent / "programs/reading_beside.c"
    with Machine(build(source, arch, "static"), arch=arch, backend=backend) as machine:
        machine.console.expect(rb"computing", timeout=30)
        time.sleep(0.1)  # by then it waits
        machine.console.send(b"a line\n")
        machine.console.expect(rb"read: a line", timeout=30)
        assert machine.wait(timeout=30) == 0


def test_ctrl_d_ends_input(busybox: Path) -> None:
    terminal = Terminal("--backend", "unicorn", str(busybox), "sh", "-c", "echo up; exec wc -l")
    terminal.expect(b"up")
    terminal.type(b"one\rtwo\r\x04")
    terminal.expect(rb"2\r")
    assert terminal.close() == 0


def test_standard_streams_may_be_pseudo_files(arch: str, busybox: Path) -> None:
    def seen(cmdline: str, *words: str) -> tuple[int, str]:
        ran = run(busybox, *words, stdin=b"typed", backend="unicorn", cmdline=cmdline)
        return ran.status, ran.output

    assert seen("", "cat") == (0, "typed")
    assert seen("stdin=null", "cat") == (0, "")
    assert seen("stdout=null", "echo", "x") == (0, "")
    assert seen("stdout=void stderr=void", "cat", "/absent") == (1, "")
    assert seen("stdin=void", "sh", "-c", "read -t 1 word; echo $?")[1] == "1\n"
