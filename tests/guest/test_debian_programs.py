"""Debian's dynamically linked programs in the guest against the same programs on the host.

Each has a root file system of its own: its package with all it depends on. The host runs its own
architecture in a chroot of a copy; the guest runs both from a cpio archive of the same files.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.debian import DebianError
from scripts.root_file_system import make_initrd, root_file_system
from tests.guest.comparison import Line, Outcome, run_in_guest, run_on_host
from tests.guest.privileges import needs_chroot
from vmm import Machine
from vmm.arch import X86_64, host_arch

pytestmark = needs_chroot


# One root file system for programs that are small, or read what others have written.
TOOLS = "coreutils findutils gawk gocryptfs jq perl-base ripgrep tar xz-utils zstd"


class Case(NamedTuple):
    """One run of a program of a package, or of some: their names with blanks between."""

    package: str
    program: str
    line: Line

    def __str__(self) -> str:
        return " ".join([f"{Path(self.program).name}:", *self.line.words[-1:]])


def bash(script: str, stdin: bytes = b"") -> Case:
    return Case("bash", "usr/bin/bash", Line(("-c", script), stdin))


def lua(script: str, stdin: bytes = b"") -> Case:
    return Case("lua5.4", "usr/bin/lua5.4", Line(("-e", script), stdin))


def sqlite(*statements: str) -> Case:
    words = ("-batch", "-init", "/dev/null", "/tmp/test.db", " ".join(statements))
    return Case("sqlite3", "usr/bin/sqlite3", Line(words))


def python(script: str, stdin: bytes = b"") -> Case:
    return Case("python3", "usr/bin/python3.11", Line(("-I", "-c", script), stdin))


def tool(program: str, *words: str, stdin: bytes = b"") -> Case:
    return Case(TOOLS, f"usr/bin/{program}", Line(words, stdin))


NUMBERS = b"".join(b"%d %d\n" % (i * 7919 % 10007, i) for i in range(20_000))

CASES = [
    bash("echo $((6*7)) ${BASH_VERSINFO[0]}; exit 3"),
    bash("a=(x y z); declare -A m=([k]=v); echo ${a[@]:1} ${#a[@]} ${m[k]} ${a[0]^^}"),
    bash("[[ abcd =~ b(.) ]] && echo ${BASH_REMATCH[1]}; printf '%q %05.1f\\n' 'a b' 2.25"),
    bash("while IFS=: read -r a b; do echo $b-$a; done", b"1:2\n3:4\n"),
    bash("echo text > /tmp/file; read -r line < /tmp/file; echo $line"),
    bash("cd /nosuch; echo $?; type -t cd; shopt -s extglob; echo /usr/bin/bas+(h)"),
    bash("trap 'echo bye' EXIT; false || echo failed; exit 9"),
    lua('print(string.format("%.14g %5.2f %q", math.pi, 1/3, "a\\nb"), #arg, _VERSION)'),
    lua('t = {} for w in io.read("a"):gmatch("%a+") do t[#t+1] = w end table.sort(t) '
        'print(table.concat(t, ","))', b"the quick brown fox"),
    lua('print(pcall(error, {1}), select("#", pcall(string.rep, "x", -1)), 7 // 2, "10" + 5)'),
    lua('local c = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) '
        'print(c(), c(), c()) os.exit(7)'),
    lua('local f = assert(io.open("/tmp/lua", "w")) f:write("a\\nb\\n") f:close() '
        'for l in io.lines("/tmp/lua") do print(l) end print(os.remove("/tmp/lua"))'),
    sqlite("create table t(a integer primary key, b text);",
           "insert into t(b) values('x'),('y'),('z');",
           "select group_concat(b), sum(a), sqlite_version() from t;"),
    sqlite("pragma journal_mode=delete; create table n(i);",
           "with recursive c(i) as (select 1 union all select i+1 from c where i<2000)",
           "insert into n select i*7919%1000 from c;",
           "create index k on n(i); select count(distinct i), avg(i) from n where i > 500;",
           "pragma integrity_check;"),
    sqlite("select nosuch from nowhere;"),
    tool("ls", "-l", "--time-style=+", "/usr/share/awk/ord.awk", "/lib"),
    tool("cp", "-av", "--sparse=always", "/usr/share/awk/ord.awk", "/tmp/copy"),
    tool("install", "-D", "-m", "751", "-v", "/usr/share/awk/ord.awk", "/tmp/a/b/c"),
    tool("sort", "-S", "100k", "--parallel=2", "-n", stdin=NUMBERS),
    tool("shuf", "-i", "1-1000", "--random-source=/usr/share/awk/getopt.awk", "-n", "9"),
    tool("dd", "bs=1000", "skip=3", "count=20", "conv=swab", "iflag=fullblock", "status=none",
         stdin=NUMBERS),
    tool("tac", stdin=NUMBERS),
    tool("factor", "18446744073709551615", "9007199254740993"),
    tool("stat", "-c", "%n %A %F %s %h", "/usr/share/awk/ord.awk", "/lib"),
    tool("tar", "-cf", "-", "--sort=name", "--mtime=@0", "-C", "/usr/share", "awk/ord.awk"),
    tool("find", "/usr/share/awk", "-name", "g*pt.awk", "-printf", "%P %s %m %y\n"),
    tool("gawk", "{ s[$1 % 9] += $2 } END { n = asorti(s, k); for (i = 1; i <= n; i++) "
         "print k[i], s[k[i]], strftime(\"%F\", s[k[i]], 1) }", stdin=NUMBERS),
    tool("jq", "-sc", "[.[1:9], add, (map(select(. > 10000)) | length), @base64 \"\\(.[2])\"]",
         stdin=NUMBERS),
    tool("xz", "-0", "-T2", "--block-size=30000", "-c", stdin=NUMBERS),
    tool("zstd", "-5", "-T2", "-q", "-c", stdin=NUMBERS),
    tool("rg", "-n", "--sort", "path", "^function \\w+\\(", "/usr/share/awk"),
    tool("gocryptfs", "-init", "-extpass", "true", "/nosuch"),
    tool("perl", "-e", "while (<>) { $n{$1}++ while /(\\d)(?=3)/g } "
         "print join(',', map { \"$_=$n{$_}\" } sort keys %n), sprintf(' %.12g', atan2(1, 1))",
         stdin=NUMBERS),
    tool("perl", "-MSocket", "-e", "socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; "
         "syswrite A, 'sent'; sysread B, $x, 9; print $x; $SIG{USR1} = sub { die qq(signal\\n) }; "
         "eval { kill USR1 => $$; select undef, undef, undef, 9 }; print $@"),
    python("import json, sys; print(json.dumps({'a': [6 * 7, None]}), sys.version_info[:3])"),
    python("import math; print(math.sin(1), 2 ** 200, '%.3e' % math.gamma(50))"),
    python("import re, os; open('/tmp/f', 'w').write('a1b22'); print(os.stat('/tmp/f').st_size,"
           " re.findall(r'\\d+', open('/tmp/f').read()), sorted(os.listdir('/tmp')))"),
    python("print(sum(map(int, open(0))))", b"1\n2\n39\n"),
    python("raise ValueError('as expected')"),
    python("import shutil, os; print(shutil.copytree('/usr/lib/ssl', '/tmp/t', symlinks=True),"
           " sorted(os.listdir('/tmp/t')))"),
    python("import sqlite3; print(sqlite3.connect(':memory:').execute('select 6*7').fetchall())"),
    python("import ctypes, decimal, zlib; print(decimal.Decimal(1) / 7, zlib.crc32(b'abc'),"
           " ctypes.CDLL(None).abs(-5))"),
    python("import threading, queue; q = queue.Queue()\n"
           "ts = [threading.Thread(target=lambda i=i: q.put(i * i)) for i in range(50)]\n"
           "[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(q.get() for _ in ts))"),
    python("from concurrent.futures import ThreadPoolExecutor as E; import hashlib\n"
           "print(hashlib.sha256(b'x').hexdigest(), sum(E(4).map(len, ['ab'] * 100)))"),
    python("import signal\n"
           "def out(s, f): raise TimeoutError('of a busy loop')\n"
           "signal.signal(signal.SIGALRM, out)\n"
           "try:\n    signal.setitimer(signal.ITIMER_REAL, 0.02)\n    while True: pass\n"
           "except TimeoutError as e: print(e)"),
    python("import signal, time; signal.signal(signal.SIGALRM, lambda s, f: print('alarm', s))\n"
           "signal.setitimer(signal.ITIMER_REAL, 0.02); time.sleep(0.1); print('slept')"),
]  # fmt: skip


@pytest.fixture(scope="session")
def host_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of the root file systems that the host has run in."""
    return {}


def expected(case: Case, copies: dict[str, Path], directory: Path) -> Outcome:
    original = _available(case.package, host_arch() or X86_64)
    if case.package not in copies:
        copies[case.package] = Path(shutil.copytree(original, directory / "root", symlinks=True))
    root = copies[case.package]
    shutil.rmtree(root / "tmp")
    (root / "tmp").mkdir()
    if not (root / "dev/null").exists():
        os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    program = root / case.program
    return without_path(run_on_host(program, case.line, root=root), program)


def actual(case: Case, arch: str, backend: str) -> Outcome:
    program = _available(case.package, arch) / case.program
    initrd = make_initrd(case.package.split(), arch)
    outcome = run_in_guest(
        program, case.line, arch=arch, backend=backend, initrd=initrd, memory="256M"
    )
    return without_path(outcome, program)


# Not Python, whose start takes a minute in the lab; `test_socket_programs` starts it there once.
ON_KVM = [next(case for case in CASES if case.package == name) for name in ("bash", "lua5.4")] + [
    [case for case in CASES if case.package == "sqlite3"][-1]
]


def _available(package: str, arch: str) -> Path:
    try:
        return root_file_system(package.split(), arch)
    except DebianError as error:
        pytest.skip(str(error))


def without_path(outcome: Outcome, path: Path) -> Outcome:
    """Programs name themselves by the path that they were started with."""
    return Outcome(outcome.output.replace(bytes(path), b"PROGRAM"), outcome.status)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_like_on_the_host(
    case: Case, arch: str, host_roots: dict[str, Path], tmp_path: Path
) -> None:
    assert actual(case, arch, "unicorn") == expected(case, host_roots, tmp_path)


@pytest.mark.kvm
@pytest.mark.parametrize("arch", [host_arch()])
@pytest.mark.parametrize("case", ON_KVM, ids=str)
def test_like_on_the_host_with_kvm(
    case: Case, arch: str, host_roots: dict[str, Path], tmp_path: Path
) -> None:
    assert actual(case, arch, "kvm") == expected(case, host_roots, tmp_path)


NODE = """
const f = n => n < 2 ? n : f(n - 1) + f(n - 2);
const { Worker } = require('worker_threads'), fs = require('fs');
console.log(f(22), [3, 1, 2].sort(), require('crypto').createHash('sha256').digest('hex'));
new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
fs.writeFileSync('/tmp/node', 'x'.repeat(9999));
const w = new Worker("const { parentPort: p } = require('worker_threads');" +
    "p.on('message', m => { p.postMessage(m * 2); p.close() })", { eval: true });
w.on('message', m => { console.log(m, fs.statSync('/tmp/node').size) });
w.on('exit', status => fs.promises.readFile('/tmp/node')
    .then(data => setTimeout(() => console.log(status, data.length), 5)));
w.postMessage(21);
"""


def test_node_compiles_while_it_runs(
    arch: str, host_roots: dict[str, Path], tmp_path: Path
) -> None:
    """V8 writes code and executes it; it has threads, and events come by epoll."""
    case = Case("nodejs", "usr/bin/node", Line(("-e", NODE)))
    root = _available(case.package, arch)
    with Machine(
        f"/{case.program}",
        case.line.words,
        arch=arch,
        backend="unicorn",
        root=str(root),
        memory="1G",
    ) as machine:
        status = machine.run(timeout=120)
        found = Outcome(machine.console.output, status)
    assert found == expected(case, host_roots, tmp_path)


def test_openssl_measures_its_speed(arch: str, backend: str) -> None:
    """It computes until a signal of alarm(2) comes, and counts how often."""
    program = _available("openssl", arch) / "usr/bin/openssl"
    words = ("speed", "-seconds", "1", "-bytes", "64", "sha256")
    outcome = run_in_guest(
        program,
        Line(words),
        arch=arch,
        backend=backend,
        initrd=make_initrd(["openssl"], arch),
        memory="256M",
    )
    assert outcome.status == 0
    counted = re.search(rb"on 64 size blocks: (\d+) sha256's in ([\d.]+)s", outcome.output)
    assert counted is not None
    assert int(counted[1]) > 1000
    assert 0.9 < float(counted[2]) < 5


def test_a_program_named_as_in_the_archive(arch: str) -> None:
    _available("bash", arch)
    initrd = make_initrd(["bash"], arch)
    # The host has a file of that name too, and not for both architectures.
    with Machine(
        "/bin/bash",
        ["-c", "echo $0 $HOSTTYPE"],
        arch=arch,
        backend="unicorn",
        initrd=initrd,
        memory="256M",
    ) as machine:
        assert machine.run(timeout=60) == 0
    expected_type = {"x86_64": "x86_64", "arm64": "aarch64"}[arch]
    assert machine.console.output.decode() == f"/bin/bash {expected_type}\n"
