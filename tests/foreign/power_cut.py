"""Kills `vmm run` while a guest writes to its disk; what the guest saw flushed has to be there.

    python -m tests.foreign.power_cut [--guest linux|own] [--arch ARCH] [--backend NAME] [--kills N]

The guest is Debian's kernel or our own, and executes the same program, `writer.c`.
`tests.vmm.devices.virtio.power_cut` does the same with a driver alone, thousands of times faster.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from pathlib import Path

from scripts import inputs
from tests.foreign.linux import initrd
from tests.guest.test_programs import build
from vmm.arch import ARM64, X86_64

# As in writer.c.
SECTOR = 512
SECTORS = 256
LONGEST = 8
SEED, MULTIPLIER, INCREMENT = 1, 1664525, 1013904223

VMM = Path(__file__).resolve().parents[2] / "scripts" / "vmm"
SAYS = "flushed "


def least(flushed: int) -> list[int]:
    """Return the number that each sector has at least, once write ``flushed`` is on the disk."""
    numbers = [0] * SECTORS
    dice = SEED
    for number in range(1, flushed + 1):
        dice = (dice * MULTIPLIER + INCREMENT) % (1 << 32)
        count = 1 + (dice >> 16) % LONGEST
        first = (dice >> 20) % (SECTORS - LONGEST)
        numbers[first : first + count] = [number] * count
    return numbers


def command(guest: str, arch: str, backend: str, directory: Path) -> list[str]:
    """Return the command that starts the guest with the file ``disk`` of ``directory``."""
    writer = build(Path(__file__).with_name("writer.c"), arch, "static")
    disk = ["--disk", str(directory / "disk")]
    options = [str(VMM), "run", "--quiet", "--backend", backend, "--arch", arch, *disk]
    if guest == "own":
        return [*options, str(writer), "/dev/vda"]
    kernel = inputs.linux(arch, "generic")
    ramdisk = directory / "initrd"
    modules = ["virtio_mmio", "virtio_blk"]
    script = "exec /bin/writer /dev/vda"
    ramdisk.write_bytes(initrd(kernel, inputs.busybox(arch), modules, script, programs=[writer]))
    boot = ["--initrd", str(ramdisk), "--cmdline", "quiet", "--memory", "256M"]
    return [*options, *boot, str(kernel)]


def cut(words: list[str], disk: Path, seconds: float) -> int:
    """Let the guest write for so long, kill, compare; return how many writes were flushed."""
    disk.write_bytes(bytes(SECTORS * SECTOR))
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith(SAYS):
            break
    time.sleep(seconds)
    process.kill()
    printed += process.stdout.read().splitlines(keepends=True)
    process.wait()
    # The last line may have been cut, too.
    lines = [line for line in printed if line.startswith(SAYS) and line.endswith("\n")]
    assert lines, f"the guest wrote nothing: {''.join(printed)}"
    flushed = int(lines[-1].split()[1])
    content = disk.read_bytes()
    for sector, number in enumerate(least(flushed)):
        found = content[sector * SECTOR : (sector + 1) * SECTOR]
        assert found == found[:8] * (SECTOR // 8), f"sector {sector} is torn"
        written = int.from_bytes(found[:8], "little")
        assert written >= number, f"sector {sector} lost write {number}, has {written}"
    return flushed


def main() -> None:
    """Cut the power again and again."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign.power_cut")
    parser.add_argument("--guest", choices=("linux", "own"), default="linux", help="its kernel")
    parser.add_argument("--arch", choices=(X86_64, ARM64), default=ARM64)
    parser.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=2, help="seconds of writing")
    arguments = parser.parse_args()
    flushed = 0
    with tempfile.TemporaryDirectory() as name:
        words = command(arguments.guest, arguments.arch, arguments.backend, Path(name))
        for _ in range(arguments.kills):
            seconds = random.random() * arguments.longest
            flushed += cut(words, Path(name, "disk"), seconds)
    print(f"{arguments.kills} kills, {flushed} writes flushed before, none lost")


if __name__ == "__main__":
    main()
