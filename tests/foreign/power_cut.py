"""Kills `vmm run` while Linux writes to its disk; what Linux saw flushed has to be there.

python -m tests.foreign.power_cut [kills]
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts import inputs
from tests.foreign.linux import initrd

SECTOR = 512
SECTORS = 100
VMM = Path(__file__).resolve().parents[2] / "scripts" / "vmm"

SCRIPT = f"""
n=0
while true; do
    n=$((n + 1))
    printf %08d $n > /tmp/number
    dd if=/tmp/number of=/dev/vda bs=512 seek=$((n % {SECTORS})) conv=sync,fsync 2>/dev/null &&
        echo flushed $n
done
"""


def cut(directory: Path, kernel: Path, seconds: float) -> int:
    """Boot, let Linux write for so long, kill, compare; return how many writes were flushed."""
    disk = directory / "disk"
    disk.write_bytes(bytes(SECTORS * SECTOR))
    command = [str(VMM), "run", "--quiet", "--backend", "unicorn", "--memory", "256M"]
    command += ["--cmdline", "quiet", "--initrd", str(directory / "initrd"), "--disk", str(disk)]
    process = subprocess.Popen(
        [*command, str(kernel)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if line.startswith("flushed"):
            lines.append(line)
            break
    time.sleep(seconds)
    process.kill()
    lines += [line for line in process.stdout.read().splitlines() if line.startswith("flushed")]
    process.wait()
    # The last line may have been cut.
    flushed = len(lines) - 1
    content = disk.read_bytes()
    for number in range(1, flushed + 1):
        start = number % SECTORS * SECTOR
        found = int(content[start : start + 8])
        assert found >= number, f"write {number} is lost: its sector has {found}"
    return flushed


def main() -> None:
    """Cut the power again and again."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    kernel, busybox = inputs.linux("arm64"), inputs.busybox("arm64")
    flushed = 0
    with tempfile.TemporaryDirectory() as name:
        ramdisk = initrd(kernel, busybox, ["virtio_mmio", "virtio_blk"], SCRIPT)
        Path(name, "initrd").write_bytes(ramdisk)
        for _ in range(kills):
            flushed += cut(Path(name), kernel, random.random() * 3)
    print(f"{kills} kills, {flushed} writes flushed before, none lost")


if __name__ == "__main__":
    main()
