"""A shared directory: Linux reads and writes a file of the host by 9P, 4 KiB and 128 KiB at a time.

Beside QEMU with the same guest and directory, and beside a loop of preadv or pwritev on the host.
The guest does not cache, so each of its calls is a request of the device.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.files import Attachment, run

# The client's messages: the device takes up to 128 KiB of data in one.
MOUNT = """
mkdir -p /mnt
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none bench /mnt
"""


def _options(file: Path) -> tuple[list[str], list[str]]:
    export = f"local,path={file.parent},security_model=none,id=bench"
    device = "virtio-9p-device,fsdev=bench,mount_tag=bench"
    return ["--share", f"{file.parent}:bench:rw"], ["-fsdev", export, "-device", device]


DIRECTORY = Attachment(
    modules=["virtio_mmio", "9pnet_virtio", "9p"],
    prepare=MOUNT,
    path="/mnt/file",
    reading="",
    writing="conv=notrunc",
    options=_options,
)

if __name__ == "__main__":
    run("9p", __doc__, DIRECTORY)
