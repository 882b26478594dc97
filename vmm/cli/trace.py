"""`vmm trace`: shows what `vmm run --trace` recorded, and replays it."""

from __future__ import annotations

from bdb import BdbQuit
from fnmatch import fnmatchcase

import click

from vmm.errors import UsageError
from vmm.trace.listing import NS, describe, describe_difference, list_records
from vmm.trace.reader import Trace
from vmm.trace.replay import Replay
from vmm.trace.selection import KINDS, Selection
from vmm.trace.statistics import histogram, tabulate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vmm.trace.reader import Record

_MAX_DIGITS = 18  # of a step's number


@click.command()
@click.argument("file", type=click.Path())
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Only this device.")
@click.option("--register", "registers", multiple=True, metavar="NAME", help="Only this register.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind.")
@click.option("--since", type=float, default=0.0, metavar="S", help="Only from S seconds on.")
@click.option("--until", type=float, metavar="S", help="Only before S seconds.")
@click.option("--stats", is_flag=True, help="How often each register was accessed, how long.")
@click.option("--histogram", "bars", is_flag=True, help="How durations are distributed.")
@click.option("--html", type=click.Path(), metavar="OUT", help="Write a timeline for a browser.")
@click.option(
    "--replay",
    "replayed",
    metavar="DEVICE[=MODULE:CLASS,...]",
    help="Feed the accesses to a fresh device, of another class if one is given.",
)
@click.option("--pdb", is_flag=True, help="With --replay: debug the first step that differs.")
@click.option(
    "--break",
    "stops",
    metavar="STEP",
    help="With --replay: debug a step by its number, or all of a register or an input's method.",
)
def trace(
    file: str,
    devices: tuple[str, ...],
    registers: tuple[str, ...],
    kinds: tuple[str, ...],
    since: float,
    until: float | None,
    stats: bool,
    bars: bool,
    html: str | None,
    replayed: str | None,
    pdb: bool,
    stops: str | None,
) -> int:
    """Show the trace FILE that 'vmm run --trace FILE' wrote.

    NAMEs are patterns like 'virtio*', and so may be DEVICE of --replay, whose exit status is 1 if
    there is a difference.
    """
    if not replayed and (pdb or stops is not None):
        raise UsageError("--pdb and --break are for a replay: add --replay DEVICE")
    recorded = Trace(file)
    if recorded.cut:
        click.echo(f"vmm: {file}: the last record is not whole", err=True)
    if replayed and any(sign in replayed for sign in "*?["):
        return _replay_all(recorded, replayed)
    if replayed:
        return _replay(recorded, replayed, pdb, stops)
    _check_devices(recorded, devices)
    words = [f"{device}.{name}" for device in devices or "*" for name in registers or "*"]
    selection = Selection([*words, *(f"kind={kind}" for kind in kinds)])
    first, last = since * NS, float("inf") if until is None else until * NS
    records = [r for r in recorded.records if first <= r["t"] < last and selection.wants(r)]
    if html:
        _write_html(recorded, records, html)
    for line in tabulate(records) if stats else ():
        click.echo(line)
    for line in histogram(records) if bars else ():
        click.echo(line)
    if not (stats or bars or html):
        for line in list_records(recorded, records):
            click.echo(line)
    return 0


def _check_devices(recorded: Trace, patterns: tuple[str, ...]) -> None:
    seen = {str(record["device"]) for record in recorded.records if record.get("device")}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in seen):
            known = ", ".join(sorted(seen)) or "none"
            raise UsageError(f"{recorded.path} has no device {pattern!r}; it has {known}")


def _write_html(recorded: Trace, records: list[dict[str, object]], path: str) -> None:
    from vmm.trace.timeline import render

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(recorded, records))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _replay(recorded: Trace, text: str, pdb: bool, stops: str | None) -> int:
    name, _, replacement = text.partition("=")

    def fresh() -> Replay:
        return Replay(recorded, name, **_replacement(replacement))

    if stops is not None:
        return _debug(fresh(), _stop_at(stops))
    outcome = fresh().run()
    if outcome.difference is None:
        click.echo(f"{name}: {outcome.steps} steps replayed, all as recorded")
        return 0
    for line in describe_difference(outcome.difference):
        click.echo(line)
    if not replacement:
        _say_what_is_unknown(recorded, name)
    if pdb:
        step = outcome.difference.step
        _debug(fresh(), lambda number, _: number == step)
    return 1


def _say_what_is_unknown(recorded: Trace, name: str) -> None:
    """Tell that a trace lacks the options of a device that a program has made by itself."""
    described = recorded.devices.get(name)
    if described is not None and described.get("made_of") == "":
        kind = described["class"]
        click.echo(
            f"vmm: the options that {name} was made with are not in the trace; if there were any,"
            f" give them as --replay {name}={kind},OPTION=VALUE",
            err=True,
        )


def _replay_all(recorded: Trace, pattern: str) -> int:
    """Replay the devices that ``pattern`` fits, each as it was."""
    names = [name for name in sorted(recorded.devices) if fnmatchcase(name, pattern)]
    if not names:
        known = ", ".join(sorted(recorded.devices)) or "none"
        raise UsageError(f"{recorded.path} has no device {pattern!r}; it has {known}")
    status = 0
    for name in names:
        try:
            status |= _replay(recorded, name, pdb=False, stops=None)
        except UsageError as error:
            click.echo(f"vmm: {error}", err=True)
            status = 1
    return status


def _replacement(text: str) -> dict[str, Any]:
    """Return how to make the device otherwise than it was."""
    from vmm.devices.device import Device
    from vmm.devices.peripheral import Peripheral
    from vmm.machine.plugin import import_class, load_device, look_here

    look_here()
    if not text:
        return {}
    kind = import_class(text.partition(",")[0], Device)
    return {"device": load_device(text)} if issubclass(kind, Peripheral) else {"kind": kind}


def _stop_at(text: str) -> Callable[[int, Record], bool]:
    """Return what tells whether a step is the one, or one of those, that ``text`` means."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        number = int(text)
        return lambda step, _: step == number
    return lambda _, record: fnmatchcase(str(record.get("register") or record.get("method")), text)


def _debug(replayed: Replay, stop: Callable[[int, Record], bool]) -> int:
    """Replay under the debugger, and stop in the device where it departs from the record."""
    from pdb import post_mortem

    stopped = False

    def stop_and_tell(step: int, record: Record) -> bool:
        nonlocal stopped
        wanted = stop(step, record)
        if wanted:
            stopped = True
            click.echo(f"step {step}, {describe(record)}:")
        return wanted

    try:
        difference = replayed.run(stop_and_tell).difference
        if not stopped:
            click.echo(f"vmm: none of {replayed.steps} steps is the one to stop at", err=True)
        if difference is None:
            return 0
        for line in describe_difference(difference):
            click.echo(line)
        if difference.traceback is not None:
            post_mortem(difference.traceback)
    except BdbQuit:
        pass  # the debugger was left
    return 1
