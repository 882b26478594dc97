"""`vmm completion`: the script that teaches a shell to complete `vmm`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    For bash: eval "$(vmm completion bash)"
    """
    from vmm.cli import commands

    kind = get_completion_class(shell)
    assert kind is not None
    # bash's own version check starts a bash; the script is the same for every version we meet.
    script = kind(commands._vmm, {}, "vmm", "_VMM_COMPLETE")
    click.echo(script.source_template % script.source_vars())
