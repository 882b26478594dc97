"""Directories of the host in the guest, as its root (--root) and beside it (--share)."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.debian import DebianError
from scripts.root_file_system import root_file_system
from tests.guest.comparison import Line, Outcome, run_on_host
from tests.guest.privileges import needs_chroot
from tests.guest.test_busybox import TREE
from tests.guest.test_programs import ARGUMENTS, ENVIRONMENT, STDIN, build
from tests.guest.tree import make_directory
from vmm import Machine
from vmm.arch import X86_64, host_arch
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.images.bundled import kernel_path

FILES = Path(__file__).parent / "programs/files.c"

LINES = [
    "ls -la /",
    "ls -lR /deep",
    "cat /prose /shortcut/est/treasure /absolute",
    "cat /dangling",
    "sha256sum /binary /prose.gz /prose-again",
    "find /many -size +2",
    "stat -c %n:%a:%h:%s:%Y /prose /prose-again /deep/er/est",
    "readlink -f /shortcut/est",
    "tail -n 3 /numbers",
    "sh -c cd${IFS}/deep/er;pwd;cd${IFS}..;pwd",
    "wc -c /many/file119 /empty",
    "stat -f -c %s:%b:%c:%l /prose",
]


def run(
    image: str, line: Line, root: str, *, arch: str, backend: str, shares: tuple[str, ...] = ()
) -> Outcome:
    with Machine(
        image, line.words, arch=arch, backend=backend, root=root, shares=shares, stdin=line.stdin
    ) as machine:
        status = machine.run(timeout=60)
        return Outcome(machine.console.output, status)


@pytest.fixture
def tree(busybox: Path, tmp_path: Path) -> Path:
    """A root directory with busybox."""
    root = tmp_path / "root"
    root.mkdir()
    make_directory(root, TREE)
    for name in ("bin", "tmp"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    return root


@needs_chroot
@pytest.mark.parametrize(("arch", "backend"), [(host_arch() or X86_64, "unicorn")])
def test_reads_like_a_chroot(tree: Path, arch: str, backend: str) -> None:
    for text in LINES:
        line = Line(tuple(word.replace("${IFS}", " ") for word in text.split(" ")))
        expected = run_on_host(tree / "bin/busybox", line, root=tree)
        # The directories that the guest has something of its own in.
        own = [b" dev\n", b" proc\n", b" tmp\n"]
        found = run("/bin/busybox", line, str(tree), arch=arch, backend=backend)
        assert _without(found.output, own) == _without(expected.output, own)
        assert found.status == expected.status


def _without(output: bytes, ends: list[bytes]) -> list[bytes]:
    lines = output.splitlines(keepends=True)
    return [
        line for line in lines if not line.startswith(b"total") and not line.endswith(tuple(ends))
    ]


@pytest.mark.parametrize("backend", ["unicorn"])
def test_a_read_only_directory_stays_as_it_is(tree: Path, arch: str, backend: str) -> None:
    before = _describe(tree)
    for words in (
        "touch /new",
        "mkdir /new",
        "rm /prose",
        "mv /prose /other",
        "ln /prose /other",
        "ln -s x /other",
        "chmod 0 /prose",
        "touch /prose",
        "truncate -s 0 /prose",
    ):
        result = run("busybox", Line(tuple(words.split())), str(tree), arch=arch, backend=backend)
        assert b"Read-only file system" in result.output, words
        assert result.status == 1
    result = run(
        "busybox", Line(("cp", "/prose", "/tmp/copy")), str(tree), arch=arch, backend=backend
    )
    assert result == Outcome(b"", 0)
    assert _describe(tree) == before


def _describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything but inodes and times of a tree."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        links = status.st_nlink
        found[str(path.relative_to(root))] = (status.st_mode, links, status.st_uid, content)
    return found


def _lines(output: bytes) -> list[str]:
    """What was printed, but for the kind of file system, and its order of entries."""
    lines = output.decode().splitlines()
    return sorted(line for line in lines if not line.startswith("statfs type"))


@pytest.mark.skipif(os.geteuid() != 0, reason="owners are changed")
def test_changes_like_linux(arch: str, backend: str, tmp_path: Path) -> None:
    """The program that tests files, in a directory of the host's file system both times."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    expected = subprocess.run(
        [build(FILES, host_arch() or X86_64, "static"), *ARGUMENTS],
        env=ENVIRONMENT,
        input=STDIN,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=here,
        umask=0o022,
        check=False,
    )
    program = there / "program"
    shutil.copy(build(FILES, arch, "static"), program)
    with Machine(
        "/program", ARGUMENTS, root=f"{there}:rw", backend=backend, env=ENVIRONMENT, stdin=STDIN
    ) as machine:
        assert machine.run(timeout=60) == expected.returncode == 0
        assert _lines(machine.console.output) == _lines(expected.stdout)
    program.unlink()
    assert _describe(there) == _describe(here)


def test_shares(tree: Path, arch: str, backend: str, tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    other.mkdir()
    (other / "file").write_bytes(b"from the other\n")
    script = (
        "read line < /mnt/second/file; echo $line > /mnt/first/new; echo more >> /mnt/first/new;"
        " cd /mnt/first; pwd; echo *; echo no > /mnt/second/new"
    )
    result = run(
        "/bin/busybox",
        Line(("sh", "-c", script)),
        str(tree),
        arch=arch,
        backend=backend,
        shares=(f"{shared}:first:rw", f"{other}:second"),
    )
    assert result.output.splitlines()[:2] == [b"/mnt/first", b"new"]
    assert b"can't create /mnt/second/new: Read-only file system" in result.output
    assert (shared / "new").read_bytes() == b"from the other\nmore\n"


@pytest.mark.parametrize("arch", [host_arch() or X86_64])
def test_nothing_outside_is_reached(tree: Path, arch: str, backend: str) -> None:
    (tree.parent / "secret").write_bytes(b"secret\n")
    (tree / "up").symlink_to("../secret")
    (tree / "away").symlink_to(tree.parent / "secret")
    (tree / "sub").symlink_to("..")
    words = ("cat", "/up", "/away", "/../secret", "/sub/secret", "/sub/prose-again")
    result = run("/bin/busybox", Line(words), str(tree), arch=arch, backend=backend)
    assert b"secret\n" not in result.output.replace(b"/secret", b"")
    assert result.output.count(b"No such file or directory") == 4
    assert b"The quick brown fox" in result.output


@pytest.mark.parametrize("backend", ["unicorn"])
def test_files_larger_than_the_memory(tree: Path, arch: str, backend: str) -> None:
    content = os.urandom(1 << 20) * 20
    (tree / "large").write_bytes(content)
    with Machine(
        "busybox",
        ["cp", "/large", "/copy"],
        memory="12M",
        root=f"{tree}:rw",
        backend=backend,
        stdin=b"",
    ) as machine:
        assert machine.run(timeout=60) == 0
    assert (tree / "copy").read_bytes() == content


def test_a_device_that_needs_a_reset_gives_errors(tree: Path, arch: str, backend: str) -> None:
    script = "echo ready; while echo x > /file; do :; done; echo ended"
    with Machine(
        "/bin/busybox", ["sh", "-c", script], root=f"{tree}:rw", backend=backend, stdin=b""
    ) as machine:
        machine.console.expect(b"ready", timeout=30)
        mapping = machine.bus.mmio.find(machine.board.places[0].base)
        assert mapping is not None
        assert isinstance(mapping.region, VirtioMmio)
        with machine.bus.lock:
            mapping.region.fail("broken by a test")
        assert machine.wait(timeout=30) == 0
        assert b"Input/output error" in machine.console.output
        assert machine.console.output.endswith(b"ended\n")


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
def test_debian_python(arch: str) -> None:
    try:
        root = root_file_system(["python3"], arch)
    except DebianError as error:
        pytest.skip(str(error))
    script = "import json, os; print(json.dumps([6 * 7, os.getcwd()]))"
    result = run("python3.11", Line(("-I", "-c", script)), str(root), arch=arch, backend="unicorn")
    assert result == Outcome(b'[42, "/"]\n', 0)


@pytest.mark.parametrize(
    ("image", "root", "message"),
    [
        ("nosuch", "/usr", "nosuch: no such program in /usr"),
        ("/bin/x", "/nosuch", "--root /nosuch: No such file or directory"),
        ("x", ":rw", "--root :rw: write DIR, or DIR:rw"),
        ("/etc/passwd", "/", "/etc/passwd: a text file; a Linux program .* is needed"),
        (kernel_path(X86_64), "/", "is a calypso-kernel: --root is for Linux programs"),
    ],
)
def test_what_cannot_be_the_root(image: str, root: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Machine(image, root=root, backend="unicorn")


def test_one_root_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--root or --initrd"):
        Machine(sys.executable, root="/", initrd=tmp_path / "x")
