"""Debian's busybox in the guest against the same program on the host, command line by command line.

The host runs the binary of its own architecture, in a chroot of a directory with the same files as
the guest's initrd. Standard output and error are compared as one stream, with the exit status.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import inputs
from scripts.debian import DebianError
from tests.guest.comparison import Line, run_in_guest, run_on_host
from tests.guest.privileges import needs_chroot
from tests.guest.tree import directory, hard_link, make_archive, make_directory, regular
from tests.guest.tree import symlink as link
from vmm.arch import X86_64, host_arch

pytestmark = needs_chroot

NUMBERS = "".join(f"{i * 7919 % 1000}\n" for i in range(300)).encode()
PROSE = b"The quick brown fox\njumps over\tthe lazy dog.\n\nFour score and seven\nyears ago\n" * 20
BINARY = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(256))
TABLE = b"id,name,age\n1,ann,30\n2,bob,25\n3,cid,41\n"

TREE = [
    directory("dev"),
    directory("proc"),
    directory("etc"),
    regular("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
    regular("etc/group", b"root:x:0:\nstaff:x:50:\n"),
    regular("numbers", NUMBERS),
    regular("prose", PROSE, time=1_500_000_000),
    regular("binary", BINARY, 0o600),
    regular("table.csv", TABLE),
    regular("empty", b""),
    regular("script", b"#!/bin/sh\necho from a script: $1\nexit 5\n", 0o755),
    regular("prose.gz", gzip.compress(PROSE, mtime=1_500_000_000)),
    directory("deep"),
    directory("deep/er"),
    directory("deep/er/est", 0o700),
    regular("deep/er/est/treasure", b"gold\n", 0o400),
    link("shortcut", "deep/er"),
    link("dangling", "nowhere/at/all"),
    link("absolute", "/etc/passwd"),
    hard_link("prose-again", "prose"),
    directory("many"),
    *(regular(f"many/file{i:03}", f"{i}\n".encode() * i) for i in range(120)),
]


def sh(script: str, stdin: bytes = b"") -> Line:
    return Line(("sh", "-c", script), stdin)


def line(words: str, stdin: bytes = b"") -> Line:
    return Line(tuple(words.split(" ")), stdin)


SHELL = [
    sh("echo $((1+2)); exit 7"),
    sh("for i in 1 2 3; do echo line $i; done; exit 7"),
    sh("echo *; echo many/file00?; echo /deep/*/*"),
    sh("cd deep/er; pwd; cd ..; pwd; cd /shortcut; pwd; pwd -P; cd -"),
    sh("umask; umask 077; umask; echo hi > new; read x < new; echo got $x; test -s new; echo $?"),
    sh('while read a b; do echo "$b|$a"; done < prose'),
    sh("while read x; do n=$((n+x)); done; echo $n", NUMBERS),
    sh("test -f numbers && test -d deep && test -L dangling && ! test -e dangling; echo $?"),
    sh("test -x script; echo $?; test -x prose; echo $?; test prose -ot numbers; echo $?"),
    sh(": > a; echo 1 >> a; echo 2 >> a; exec 3< a; read x <&3; read y <&3; echo $x$y; exec 3<&-"),
    sh("echo to stderr >&2; echo to stdout; exec 2>&1; echo again >&2"),
    sh("set -- a b c; shift; echo $# $@; f() { echo f $1; return 3; }; f x; echo $?"),
    sh("trap 'echo bye' EXIT; echo hi"),
    sh("echo ${x:-default} ${#HOME} ${PWD}; x=abc.def; echo ${x%.*} ${x##*.}"),
    sh("exec /nosuchfile 2>/dev/null; echo not reached"),
    sh(". /script"),
    sh("nosuchbuiltin_at_all 2>/dev/null || echo failed"),
    sh("echo x > /nosuchdir/y; echo $?"),
    sh("printf '%s-%05d-%x\\n' a 42 255; kill -l 11; type cd; ulimit -s"),
    sh("kill -TERM $$; echo not reached"),
    Line(("sh",), b"echo from stdin\nread x\nthis is read\necho $x\nexit 3\n"),
]

FILES = [
    line("ls /"),
    line("ls -l /"),
    line("ls -la /etc /deep"),
    line("ls -lR /deep /shortcut /absolute"),
    line("ls -lL /absolute /dangling"),
    line("ls -1 /many"),
    line("ls -lt /"),
    line("ls -s /many"),
    line("ls -ld --full-time / /etc /prose"),
    line("ls nosuchfile"),
    line("find /"),
    line("find /deep -type f -name t*"),
    line("find / -newer /prose -size -2 -type f"),
    line("find /many -name *7 -delete"),
    line("du /deep"),
    line("du -a /deep /prose"),
    line("stat -c %n,%F,%a,%h,%s,%u,%g,%Y,%b /prose /deep /dangling /absolute"),
    line("stat -L -c %F,%s /shortcut /absolute"),
    line("readlink /dangling"),
    line("readlink -f /shortcut/est/../est/treasure"),
    line("realpath /shortcut/est"),
    line("cat /etc/passwd /nosuch /table.csv"),
    line("cat - /empty -", b"middle\n"),
    line("cat /shortcut/est/treasure"),
    line("cat /deep"),
    line("cp /prose /copy"),
    line("cp -a /deep /copied"),
    line("cp /prose /nosuch/dir"),
    line("mv /prose /etc/moved"),
    line("mv /deep /deep/er/inside"),
    line("mv -n /prose /numbers"),
    line("rm /prose /many/file000"),
    line("rm /nosuch /deep"),
    line("rm -r /deep /many"),
    line("rmdir /deep/er/est"),
    line("mkdir /new /new/er"),
    line("mkdir /prose"),
    line("mkdir -p /deep/x/y/z"),
    line("ln -s a b"),
    line("ln /prose /etc/linked"),
    line("ln /deep /etc/linked"),
    line("touch /new /prose"),
    line("touch -c /nosuch"),
    line("chmod 4755 /prose"),
    line("chmod u+x,g-r /nosuch"),
    line("chown 5:7 /prose"),
    line("truncate -s 100 /prose"),
    line("mktemp /etc/XXXXXX-fixed/a"),
    line("dd if=/binary bs=100 skip=3 count=5"),
    line("dd if=/dev/zero of=/zeros bs=1k count=3 seek=2"),
    line("install -m 700 /prose /installed"),
    line("tee /written", b"both ways\n"),
    line("which ls nosuch"),
    line("tar cf - deep etc"),
    line("tar tvf -", b""),
    line("fsync /prose"),
    line("test -e /dangling"),
    line("mknod /fifo p"),
    line("chroot /deep /nosuch"),
    line("setuidgid nosuch true"),
]

TEXT = [
    line("echo hello world"),
    line("echo -n -e a\\tb\\n"),
    line("printf %s:%d\\n x 7"),
    line("wc /prose /numbers"),
    line("wc -c", BINARY),
    line("sort /numbers"),
    line("sort -n -r -u /numbers"),
    line("sort -t, -k3 -n /table.csv"),
    line("uniq -c", b"a\na\nb\na\n"),
    line("head -n 3 /prose"),
    line("head -c 10 /binary"),
    line("tail -n 2 /prose"),
    line("tail -c 7 /prose"),
    line("tail -n +30", PROSE),
    line("cut -d, -f2 /table.csv"),
    line("cut -c2-4 /prose"),
    line("tr a-z A-Z", PROSE),
    line("tr -d aeiou", PROSE),
    line("sed s/o/0/g;2d /prose"),
    line("sed -n /fox/p /prose"),
    line("sed -i s/x/y/ /prose /numbers"),
    line("grep -n fox /prose"),
    line("grep -c o /prose /numbers"),
    line("grep -rl gold /deep"),
    line("grep -E ^[0-9]{2}$ /numbers"),
    line("grep nothing /prose"),
    line("awk -F, {s+=$3}END{print(s,NR)} /table.csv"),
    line('awk BEGIN{for(i=0;i<5;i++)printf"%d\\n",i*i}'),
    line('awk {print(length($0))>"/out"}END{print(NR)} /prose'),
    line('awk BEGIN{print(sqrt(2),exp(1),substr("hello",2,3))}'),
    line("od -c /table.csv"),
    line("od -A x -t x1 /etc/group"),
    line("hexdump -C /table.csv"),
    line("xxd /etc/group"),
    line("base64 /binary"),
    line("base64 -d", b"aGVsbG8K"),
    line("nl /prose"),
    line("tac /numbers"),
    line("rev /prose"),
    line("fold -w 7 /prose"),
    line("expand /prose"),
    line("paste /numbers /prose"),
    line("comm /table.csv /etc/group"),
    line("diff /prose /numbers"),
    line("diff -u /table.csv /etc/group"),
    line("cmp /prose /prose-again"),
    line("cmp /prose /numbers"),
    line("strings /binary"),
    line("split -l 100 /numbers /part"),
    line("seq 3 2 20"),
    line("factor 1234567890"),
    line("expr 6 * 7"),
    line("bc", b"scale=5; 22/7\n2^100\n"),
    line("dc -e 2_3*p"),
    line("less /table.csv"),
    line("more /table.csv"),
    line("vi /nosuch"),
]

DATA = [
    line("sha256sum /binary"),
    line("sha256sum", b"hello\n"),
    line("sha1sum /prose"),
    line("sha512sum /prose"),
    line("md5sum /binary /prose /nosuch"),
    line("cksum /binary"),
    line("sum /binary"),
    line("gzip -c /prose"),
    line("gzip", PROSE),
    line("gunzip -c /prose.gz"),
    line("gunzip /prose.gz"),
    line("gunzip", b"not gzip"),
    line("bzip2 -c /prose"),
    line("cpio -t", make_archive(TREE)),
    line("uuencode x", BINARY[:100]),
]

SYSTEM = [
    line("true"),
    line("false"),
    line("id"),
    line("id -u"),
    line("whoami"),
    line("groups"),
    line("env A=1 printenv A"),
    line("pwd"),
    line("tty"),
    line("date -u -d @86400"),
    line("cal 2 2024"),
    line("sleep 0.01"),
    line("usleep 10"),
    line("nosuchapplet"),
    line("stty"),
    line("kill -l 9"),
    line("getopt ab:c -a -b x y"),
    line("ipcalc -n 10.1.2.3/16"),
    line("mesg"),
    line("dirname /a/b/c"),
    line("basename /a/b/c.d .d"),
]

LINES = [*SHELL, *FILES, *TEXT, *DATA, *SYSTEM]


# Listings of the root directory show that the guest's /dev and /proc are not empty.
DEVICES = re.compile(rb"^.*[ /](dev|proc)(/.*)?\n", re.MULTILINE)


@pytest.fixture(scope="session")
def host_busybox() -> Path:
    try:
        return inputs.busybox(host_arch() or X86_64)
    except DebianError as error:
        pytest.skip(str(error))


@pytest.fixture
def host_tree() -> Iterator[Path]:
    """The tree as a directory on a tmpfs, whose sizes and order of names are what is compared."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        make_directory(Path(root), TREE)
        os.mknod(Path(root, "dev/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(Path(root, "dev/zero"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
        yield Path(root)


@pytest.fixture(scope="session")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("busybox") / "tree.cpio"
    path.write_bytes(make_archive(TREE))
    return path


def name_of(line: Line) -> str:
    return " ".join(line.words)


class Comparison:
    """Both sides of one test."""

    def __init__(self, host_busybox: Path, host_tree: Path, initrd: Path) -> None:
        self._host_busybox = host_busybox
        self._host_tree = host_tree
        self._initrd = initrd

    def check(self, line: Line, busybox: Path, arch: str, backend: str) -> None:
        expected, expected_status = run_on_host(self._host_busybox, line, root=self._host_tree)
        output, status = run_in_guest(
            busybox, line, arch=arch, backend=backend, initrd=self._initrd
        )
        output = output.replace(bytes(busybox), b"busybox")
        expected = expected.replace(bytes(self._host_busybox), b"busybox")
        if "/" in line.words:
            output, expected = DEVICES.sub(b"", output), DEVICES.sub(b"", expected)
        assert (output, status) == (expected, expected_status)


@pytest.fixture
def comparison(host_busybox: Path, host_tree: Path, initrd: Path) -> Comparison:
    return Comparison(host_busybox, host_tree, initrd)


@pytest.mark.parametrize("line", LINES, ids=name_of)
def test_like_on_the_host(line: Line, arch: str, busybox: Path, comparison: Comparison) -> None:
    comparison.check(line, busybox, arch, "unicorn")


@pytest.mark.kvm
@pytest.mark.parametrize("arch", [host_arch()])
@pytest.mark.parametrize("line", LINES[::6], ids=name_of)
def test_like_on_the_host_with_kvm(
    line: Line, arch: str, busybox: Path, comparison: Comparison
) -> None:
    comparison.check(line, busybox, arch, "kvm")
