"""`vmm inspect`: what an image is, and what it would need."""

from __future__ import annotations

import json

import click

from vmm.images.bundled import find_image
from vmm.images.describe import describe
from vmm.images.recognise import open_image


@click.command()
@click.argument("image", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(image: str, as_json: bool) -> None:
    """Say what IMAGE is: kind, architecture, entry, segments, boot protocol, needs."""
    with open_image(find_image(image, None)) as opened:
        facts = describe(opened)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for line in _lines(facts):
        click.echo(line)


def _lines(facts: dict[str, object]) -> list[str]:
    """Lay out ``facts`` for people: a line per fact, a table per list."""
    lines = []
    width = max(len(name) for name in facts)
    for name, content in facts.items():
        label = name.replace("_", " ")
        if isinstance(content, list) and content and isinstance(content[0], dict):
            lines.append(f"{label}:")
            lines += [f"  {_row(entry)}" for entry in content]
        elif isinstance(content, list):
            lines.append(f"{label + ':':{width + 1}} {', '.join(map(_show, content)) or '-'}")
        else:
            lines.append(f"{label + ':':{width + 1}} {_show(content, name)}")
    return lines


def _row(entry: dict[str, object]) -> str:
    return "  ".join(f"{name} {_show(content, name)}" for name, content in entry.items())


def _show(content: object, name: str = "") -> str:
    """Show addresses and sizes in hexadecimal, absent facts as a dash."""
    if content is None:
        return "-"
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, int) and content >= 10 and "count" not in name:
        return f"{content:#x}"
    return str(content)
