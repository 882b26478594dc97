"""A program on this host and in the guest, to be compared: the same arguments, files and input."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from vmm import Machine

TIMEOUT = 60.0


class Outcome(NamedTuple):
    """What can be seen of a program: standard output and error as one stream, and its status.

    The status is as a shell tells it: 128 and the signal's number for a program killed by one.
    """

    output: bytes
    status: int


class Line(NamedTuple):
    """A program's arguments, and its standard input."""

    words: tuple[str, ...]
    stdin: bytes = b""


def run_on_host(binary: Path, line: Line, *, root: Path = Path("/")) -> Outcome:
    """Run a program in a chroot, without environment."""
    executable = os.open(binary, os.O_RDONLY)
    stdin, feed = os.pipe()
    output, stdout = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(feed)
            for number, fd in enumerate((stdin, stdout, stdout)):
                os.dup2(fd, number)
            os.chroot(root)
            os.chdir("/")
            os.umask(0o022)
            os.execve(executable, [str(binary), *line.words], {})
        finally:
            os._exit(99)
    for fd in (executable, stdin, stdout):
        os.close(fd)
    threading.Thread(target=_feed, args=(feed, line.stdin)).start()
    with os.fdopen(output, "rb") as file:
        result = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Outcome(result, status if status >= 0 else 128 - status)


def _feed(fd: int, data: bytes) -> None:
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass


def run_in_guest(
    binary: Path,
    line: Line,
    *,
    arch: str,
    backend: str = "unicorn",
    initrd: Path | None = None,
    memory: str = "64M",
) -> Outcome:
    """Run a program in a machine."""
    with Machine(
        binary,
        line.words,
        arch=arch,
        backend=backend,
        initrd=initrd,
        stdin=line.stdin,
        memory=memory,
    ) as machine:
        status = machine.run(timeout=TIMEOUT)
        return Outcome(machine.console.output, status)
