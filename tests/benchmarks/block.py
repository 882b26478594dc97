"""A virtio disk: Linux reads and writes it past its page cache, 4 KiB and 128 KiB at a time.

Beside QEMU with the same guest and file, and beside a loop of preadv or pwritev on the host.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.files import Attachment, run


def _options(file: Path) -> tuple[list[str], list[str]]:
    drive = f"file={file},if=none,format=raw,id=disk,cache=writeback"
    return ["--disk", str(file)], ["-drive", drive, "-device", "virtio-blk-device,drive=disk"]


DISK = Attachment(
    modules=["virtio_mmio", "virtio_blk"],
    prepare="",
    path="/dev/vda",
    reading="iflag=direct",
    writing="oflag=direct",
    options=_options,
)

if __name__ == "__main__":
    run("block", __doc__, DISK)
