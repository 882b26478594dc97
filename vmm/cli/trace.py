"""`vmm trace`: shows what `vmm run --trace` recorded, and replays it."""

from __future__ import annotations

from bdb import BdbQuit

import click

from vmm.errors import UsageError
from vmm.trace.listing import NS, describe_access, describe_fields, list_records
from vmm.trace.reader import Trace
from vmm.trace.replay import Difference, Replay
from vmm.trace.selection import KINDS, Selection
from vmm.trace.statistics import histogram, tabulate


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
@click.option("--pdb", is_flag=True, help="With --replay: debug the first access that differs.")
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
) -> int:
    """Show the trace FILE that 'vmm run --trace FILE' wrote.

    NAMEs are patterns like 'virtio*'. The exit status of --replay is 1 if there is a difference.
    """
    recorded = Trace(file)
    if recorded.cut:
        click.echo(f"vmm: {file}: the last record is not whole", err=True)
    if replayed:
        return _replay(recorded, replayed, pdb)
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


def _write_html(recorded: Trace, records: list[dict[str, object]], path: str) -> None:
    from vmm.trace.timeline import render

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(recorded, records))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _replay(recorded: Trace, text: str, pdb: bool) -> int:
    name, _, plugin = text.partition("=")

    def fresh() -> Replay:
        if not plugin:
            return Replay(recorded, name)
        from vmm.machine.plugin import load_device

        return Replay(recorded, name, load_device(plugin))

    outcome = fresh().run()
    difference = outcome.difference
    if difference is None:
        click.echo(f"{name}: {outcome.accesses} accesses replayed, all reads as recorded")
        return 0
    _report(recorded, difference, outcome.accesses)
    if pdb:
        try:
            fresh().run(stop_at=difference.record["n"])
        except BdbQuit:
            pass  # the debugger was left
    return 1


def _report(recorded: Trace, difference: Difference, accesses: int) -> None:
    record = difference.record
    now = " ".join([f"{difference.value:#x}", *describe_fields(difference.fields)])
    click.echo(f"access {accesses}, record {record['n']}, at {recorded.place(record)}:")
    click.echo(f"  recorded {describe_access(record)}")
    click.echo(f"  replayed {record['device']}.{difference.register} R {now}")
