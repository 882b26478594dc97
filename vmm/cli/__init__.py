"""The command `vmm`."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmm.cli.options import RunCommand


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line ``words`` (by default this process's) and return its exit status."""
    words = sys.argv[1:] if words is None else list(words)
    if words and words[0] == "run":
        # Start-up makes no garbage that matters, and looking for it is a twentieth of the time.
        gc.disable()
        from vmm.cli.options import parse_run

        command = parse_run(words[1:])
        if command is not None:
            return _run(command)
        gc.enable()
    from vmm.cli.commands import cli

    return cli(words)


def _run(command: RunCommand) -> int:
    """Start the machine of a well-formed `vmm run`, as fast as can be."""
    from vmm.cli import module_cache

    cache = module_cache.install()
    from vmm.cli.run import main as run

    status = run(command.options, command.image, command.arguments)
    if cache is not None:
        cache.complete()
    return status
