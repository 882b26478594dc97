"""The two sides of the comparison, and one call on one of them."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, NamedTuple

from tests.guest.linux_calls import CONTROL, Linux
from vmm import Machine
from vmm.service.guest import Task

CALL_TIMEOUT = 20.0

# Sending by a socket that is shut down and has no peer: Linux 6.14 looks at the former first.
SENDING = ("write", "writev", "eventfd_write", "send", "sendmsg")
ALIKE = dict.fromkeys(("ENOTCONN", "EPIPE"), "ENOTCONN or EPIPE")


class Failure(NamedTuple):
    """What a call that fails gives."""

    name: str


class Peers:
    """A Linux task and a guest's, each of them used for many sequences.

    Attributes:
        linux: the Linux task.
        steps: the calls that were made on both.
    """

    def __init__(self, arch: str, backend: str = "unicorn") -> None:
        self._linux = Linux()
        self.linux = self._linux.task
        self._options = {"arch": arch, "backend": backend}
        self._machine: Machine | None = None
        self._sequences = 0
        self.steps = 0

    @property
    def guest(self) -> Task:
        """The guest's first task; of a new machine where the last one has ended."""
        if self._machine is not None and self._machine.outcome is not None:
            self._machine.close()
            self._machine = None
        if self._machine is None:
            self._machine = Machine.service(**self._options)
            self._machine.guest.timeout = CALL_TIMEOUT
        return self._machine.guest

    def renew(self) -> tuple[Task, Task]:
        """Return both without open files, in a new directory each."""
        self._sequences += 1
        tasks = self.linux, self.guest
        for task in tasks:
            task.close_range(3, CONTROL - 1)
            if self._sequences > 1:
                task.chdir("..")
            name = f"sequence{self._sequences}"
            if name not in task.listdir("."):
                task.mkdir(name)
            task.chdir(name)
        return tasks

    def close(self) -> None:
        self._linux.__exit__(None, None, None)
        if self._machine is not None:
            self._machine.close()


def attempt(task: Task, method: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call: its result in a form that can be compared, or the name of its error."""
    try:
        result = getattr(task, method)(*arguments)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        return Failure(ALIKE.get(name, name) if method in SENDING else name)
    if method in ("epoll_wait", "listdir"):
        return sorted(result)
    if isinstance(result, os.stat_result):
        size = result.st_size if stat.S_ISREG(result.st_mode) else 0
        # How many links a directory has is its file system's matter.
        links = 0 if stat.S_ISDIR(result.st_mode) else result.st_nlink
        return (result.st_mode, links, size)
    return () if result is None else result


def short(outcome: object) -> str:
    text = repr(outcome)
    return text if len(text) < 300 else f"{text[:200]}... ({len(text)} characters)"
