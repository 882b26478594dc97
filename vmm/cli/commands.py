"""The verbs of `vmm` as click sees them: help, errors, completion; each verb loads when called."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import click

import vmm
from vmm.cli import options
from vmm.errors import UsageError, VmmError
from vmm.machine.outcome import STATUS_USAGE, STATUS_VMM_FAILURE

# Verb -> module with a click command of the same name.
_VERBS = {
    "run": "vmm.cli.commands",
    "inspect": "vmm.cli.inspect",
    "doctor": "vmm.cli.doctor",
    "devices": "vmm.cli.devices",
    "device": "vmm.cli.devices",
    "trace": "vmm.cli.trace",
    "completion": "vmm.cli.completion",
}


class _Verbs(click.Group):
    """Loads a verb's module only when the verb is used or helped with."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = getattr(importlib.import_module(_VERBS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vmm.__version__, prog_name="vmm")
def _vmm() -> None:
    """Boot programs and unikernels in microVMs, with KVM or without."""


def _parameter(option: options.Option) -> click.Option:
    kinds: dict[str, Any] = {
        options.TEXT: str,
        options.SIZE: str,
        options.FILE: click.Path(),
        options.NUMBER: click.INT,
        options.SECONDS: click.FLOAT,
    }
    kind = click.Choice(option.choices) if option.choices else kinds.get(option.kind)
    return click.Option(
        [
            option.name,
            *(short for short, name in options.SHORT_NAMES.items() if name == option.name),
        ],
        type=kind,
        metavar=option.metavar or None,
        help=option.help,
        multiple=option.repeated,
        # With False in place of None, click would let the argument be left out.
        is_flag=option.kind == options.FLAG or None,
    )


def _run(image: str, arguments: tuple[str, ...], **given: object) -> int:
    from vmm.cli.run import main

    present = {
        name: content
        for name, content in given.items()
        if content is not None and content is not False
    }
    return main(present, image, arguments)


run = click.Command(
    "run",
    callback=_run,
    params=[
        *(_parameter(option) for option in options.RUN_OPTIONS),
        click.Argument(["image"], type=click.Path()),
        click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED),
    ],
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    help="""Boot IMAGE in a new machine and run it to its end.

    IMAGE is a program (an ELF file for Linux), or the name of a bundled one such as hello. The
    guest's console is standard output and input; Ctrl-A X ends a machine at a terminal.

    The exit status is the program's own; 128 + n if it was killed by signal n, or the VMM ended by
    it; 124 after --timeout, 125 for a failure of the VMM, 126 for a panic or an unhandled fault of
    the guest, 2 for wrong usage.
    """,
)


def cli(words: Sequence[str]) -> int:
    """Run a command line through click and return the exit status."""
    try:
        status = _vmm.main(list(words), prog_name="vmm", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return STATUS_USAGE
    except click.ClickException as error:
        # The error itself does not always know during which verb it was.
        verb = f" {words[0]}" if words and words[0] in _VERBS else ""
        message = " ".join(error.format_message().split())
        click.echo(f"vmm: {message} ('vmm{verb} --help' tells more)", err=True)
        return STATUS_USAGE
    except click.Abort:
        return 130
    except UsageError as error:
        click.echo(f"vmm: {error}", err=True)
        return STATUS_USAGE
    except VmmError as error:
        click.echo(f"vmm: {error}", err=True)
        return STATUS_VMM_FAILURE
    except OSError as error:
        click.echo(f"vmm: {error.filename or 'output'}: {error.strerror}", err=True)
        if error.filename is None:
            # What is still buffered would fail once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return STATUS_VMM_FAILURE
    return status if isinstance(status, int) else 0
