"""The command `vmm`."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmm.cli.module_cache import ModuleCache
    from vmm.cli.options import RunCommand


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line ``words`` (by default this process's) and return its exit status."""
    _occupy_standard_descriptors()
    words = sys.argv[1:] if words is None else list(words)
    if words and words[0] == "run":
        # Start-up makes no garbage that matters, and looking for it is a twentieth of the time.
        gc.disable()
        from vmm.cli import module_cache

        cache = module_cache.install()
        from vmm.cli.options import parse_run

        command = parse_run(words[1:])
        if command is not None:
            return _run(command, cache)
        gc.enable()
    from vmm.cli.commands import cli

    return cli(words)


def _occupy_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed, lest the guest's RAM or a disk becomes one of them.

    Who reads there finds the end; who writes gets an error, as if it were closed.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)


def flush() -> None:
    """Write out what is buffered, as far as standard output and error are there and take it."""
    for stream in (sys.stdout, sys.stderr):
        # Python has none where the process was started with the descriptor closed.
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                pass


def _run(command: RunCommand, cache: ModuleCache | None) -> int:
    """Start the machine of a well-formed `vmm run`, as fast as can be."""
    from vmm.cli.run import main as run

    status = run(command.options, command.image, command.arguments)
    if cache is not None:
        cache.complete()
    return status
