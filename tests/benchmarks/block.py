"""A virtio disk: Linux reads and writes it past its page cache, 4 KiB and 128 KiB at a time.

Beside QEMU with the same guest and file, and beside a loop of preadv or pwritev on the host.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.benchmarks.linux_guests import Section, build, compare, host_loop, ours, qemus

DISK_SIZE = 64 << 20


def _sections(scale: int) -> list[Section]:
    sections = []
    for label, size, count in (("4k", 4 << 10, 1000 * scale), ("128k", 128 << 10, 250 * scale)):
        requests = min(count, DISK_SIZE // size)
        common = f"bs={label} count={requests}"
        reading = f"dd if=/dev/vda of=/dev/null {common} iflag=direct"
        writing = f"dd if=/dev/zero of=/dev/vda {common} oflag=direct"
        sections.append(Section(f"read-{label}", reading, requests, size))
        sections.append(Section(f"write-{label}", writing, requests, size))
    return sections


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench block", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="boots of each guest")
    parser.add_argument("--scale", type=int, default=4, help="times 1000 requests of 4 KiB")
    arguments = parser.parse_args()
    sections = _sections(arguments.scale)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        disk = directory / "disk"
        disk.write_bytes(os.urandom(DISK_SIZE))
        ramdisk = build(directory, ["virtio_mmio", "virtio_blk"], "", sections)
        drive = ["-drive", f"file={disk},if=none,format=raw,id=disk,cache=writeback"]
        guests = [
            ours(ramdisk, ["--disk", str(disk)]),
            qemus(ramdisk, [*drive, "-device", "virtio-blk-device,drive=disk"]),
        ]
        floors = [host_loop(disk, section) for section in sections]
        compare([g for g in guests if g is not None], sections, floors, arguments.rounds)


if __name__ == "__main__":
    main()
