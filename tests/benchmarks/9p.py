"""A shared directory: Linux reads and writes a file of the host by 9P, 4 KiB and 128 KiB at a time.

Beside QEMU with the same guest and directory, and beside a loop of preadv or pwritev on the host.
The guest does not cache, so each of its calls is a request of the device.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.benchmarks.linux_guests import Section, build, compare, host_loop, ours, qemus

FILE_SIZE = 32 << 20

# The client's messages: the device takes up to 128 KiB of data in one.
MOUNT = """
mkdir -p /mnt
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none bench /mnt
"""


def sections(scale: int) -> list[Section]:
    made = []
    for label, size, count in (("4k", 4 << 10, 500 * scale), ("128k", 128 << 10, 100 * scale)):
        requests = min(count, FILE_SIZE // size)
        common = f"bs={label} count={requests}"
        reading = f"dd if=/mnt/file of=/dev/null {common}"
        writing = f"dd if=/dev/zero of=/mnt/file {common} conv=notrunc"
        made.append(Section(f"read-{label}", reading, requests, size))
        made.append(Section(f"write-{label}", writing, requests, size))
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench 9p", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="boots of each guest")
    parser.add_argument("--scale", type=int, default=2, help="times 500 requests of 4 KiB")
    arguments = parser.parse_args()
    chosen = sections(arguments.scale)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shared = directory / "shared"
        shared.mkdir()
        (shared / "file").write_bytes(os.urandom(FILE_SIZE))
        modules = ["virtio_mmio", "9pnet_virtio", "9p"]
        ramdisk = build(directory, modules, MOUNT, chosen)
        export = ["-fsdev", f"local,path={shared},security_model=none,id=bench"]
        guests = [
            ours(ramdisk, ["--share", f"{shared}:bench:rw"]),
            qemus(ramdisk, [*export, "-device", "virtio-9p-device,fsdev=bench,mount_tag=bench"]),
        ]
        floors = [host_loop(shared / "file", section) for section in chosen]
        compare([g for g in guests if g is not None], chosen, floors, arguments.rounds)


if __name__ == "__main__":
    main()
