"""Makes the README's picture: Debian reads a disk, as `vmm trace --html` shows it.

    .venv/bin/python -m tests.pictures.timeline

Needs ``chromium``, which is not a dependency of anything else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts import inputs
from tests.foreign.linux import initrd
from vmm.cli import main as vmm
from vmm.machine.machine import Machine
from vmm.trace.reader import Trace

PICTURE = Path(__file__).with_name("timeline.png")

SCRIPT = "dd if=/dev/vda of=/dev/null bs=8k count=100 iflag=direct\n"

# The request that is shown, and the time around it, in seconds: from the kick to the acknowledge.
SHOWN = -10
BEFORE, AFTER = 0.00007, 0.00025

SIZE = "1280,330"


def record(directory: Path) -> str:
    """Boot Debian, read a disk, and return the trace."""
    kernel, busybox = inputs.linux("arm64"), inputs.busybox("arm64")
    ramdisk, disk, trace = directory / "initrd", directory / "disk", directory / "trace.jsonl"
    ramdisk.write_bytes(initrd(kernel, busybox, ["virtio_mmio", "virtio_blk"], SCRIPT))
    disk.write_bytes(bytes(4 << 20))
    with Machine(
        kernel,
        arch="arm64",
        backend="unicorn",
        memory="256M",
        cmdline="panic=-1 quiet",
        initrd=ramdisk,
        disks=[str(disk)],
        trace=f"{trace},virtio*",
    ) as machine:
        machine.run(timeout=120)
    return str(trace)


def main() -> None:
    """Record, draw, photograph."""
    browser = shutil.which("chromium")
    if browser is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        trace = record(directory)
        request = [r for r in Trace(trace).records if r["kind"] == "request"][SHOWN]
        since, until = request["t"] / 1e9 - BEFORE, request["t"] / 1e9 + AFTER
        page = directory / "page.html"
        vmm(["trace", trace, "--since", str(since), "--until", str(until), "--html", str(page)])
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--hide-scrollbars"),
                *(f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        vmm(["trace", trace, "--since", str(since), "--until", str(until)])


if __name__ == "__main__":
    main()
