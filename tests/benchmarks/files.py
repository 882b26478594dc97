"""What the benchmarks of a disk and of a shared directory share: dd over a file of the host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.linux_guests import (
    Section,
    Setting,
    build,
    compare,
    host_loop,
    ours,
    parser,
    qemus,
)


@dataclass(frozen=True)
class Attachment:
    """How a guest reaches the file.

    Attributes:
        modules: of the kernel, that it needs.
        prepare: commands of the guest before it does.
        path: of the file in the guest.
        reading: dd's operand for reading past the guest's page cache; "" where it has none.
        writing: for writing.
        options: from the file on the host to the options of our machine, and of QEMU.
    """

    modules: list[str]
    prepare: str
    path: str
    reading: str
    writing: str
    options: Callable[[Path], tuple[list[str], list[str]]]


SIZES = {"4k": (4 << 10, 1000), "128k": (128 << 10, 400)}
FILE_SIZE = max(size * requests for size, requests in SIZES.values())


def _sections(attachment: Attachment) -> list[Section]:
    sections = []
    for label, (size, requests) in SIZES.items():
        common = f"bs={label} count={requests}"
        reading = f"dd if={attachment.path} of=/dev/null {common} {attachment.reading}"
        writing = f"dd if=/dev/zero of={attachment.path} {common} {attachment.writing}"
        sections.append(Section(f"read-{label}", reading, requests, size))
        sections.append(Section(f"write-{label}", writing, requests, size))
    return sections


def run(name: str, document: str, attachment: Attachment) -> None:
    """Measure and print, as the command line says."""
    options = parser(name, document, rounds=11)
    options.add_argument("--packed", action="store_true", help="also ours over packed virtqueues")
    arguments = options.parse_args()
    setting = Setting(arguments.arch, arguments.backend)
    sections = _sections(attachment)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        file = directory / "shared" / "file"
        file.parent.mkdir()
        file.write_bytes(os.urandom(FILE_SIZE))
        ramdisk = build(directory, setting, attachment.modules, attachment.prepare)
        own, peers = attachment.options(file)
        guests = [ours(setting, ramdisk, own)]
        if arguments.packed:
            guests.append(ours(setting, ramdisk, own, packed=True))
        guests += qemus(setting, ramdisk, peers)
        floors = [host_loop(file, section) for section in sections]
        compare(guests, sections, floors, arguments.rounds)
