"""The command `vmm`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line ``words`` (by default this process's) and return its exit status."""
    words = sys.argv[1:] if words is None else list(words)
    if words and words[0] == "run":
        from vmm.cli.options import parse_run

        command = parse_run(words[1:])
        if command is not None:
            from vmm.cli.run import main as run

            return run(command.options, command.image, command.arguments)
    from vmm.cli.commands import cli

    return cli(words)
