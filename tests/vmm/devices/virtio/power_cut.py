"""Kills a VMM while a driver writes to a disk; what the driver saw flushed has to be there.

    python -m tests.vmm.devices.virtio.power_cut [kills] [first seed]

The driver runs in a process of its own: it writes sectors, each with a number that only grows,
flushes, and says so; then it goes on. It is killed at a random moment. `tests.foreign.power_cut`
does the same with Linux as the driver.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from struct import pack

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.block import S_OK, T_FLUSH, T_OUT, Block
from vmm.devices.virtio.disk import SECTOR, Disk

SECTORS = 64
WRITES = 12
LONGEST = 8


def fill(number: int) -> bytes:
    """Return the content of a sector that write ``number`` left."""
    return pack("<Q", number) * (SECTOR // 8)


def drive(path: str, seed: int) -> None:
    """Write and flush until killed; each line of output is the number of the last write flushed."""
    dice = random.Random(seed)
    memory = d.ram()
    guest = Guest(Block(memory, disk=Disk(path)), memory)
    number = 0
    while True:
        guest.start()
        queue = guest.queues[0]
        for _ in range(WRITES):
            number += 1
            count = dice.randint(1, LONGEST)
            header = pack("<IIQ", T_OUT, 0, dice.randrange(SECTORS - count + 1))
            data = fill(number) * count
            place = queue.allocate(len(header) + len(data), header + data)
            status = queue.allocate(1, b"\xff")
            queue.offer([(place, 16, False), (place + 16, len(data), False), (status, 1, True)])
        guest.kick(0)
        while queue.take():
            pass
        if guest.request(0, pack("<IIQ", T_FLUSH, 0, 0), 1)[0] != bytes([S_OK]):
            sys.exit("the disk was not flushed")
        os.write(1, f"{number}\n".encode())


def expect(seed: int, flushed: int) -> list[int]:
    """Return the number that each sector has at least, once write ``flushed`` is on the disk."""
    dice = random.Random(seed)
    least = [0] * SECTORS
    for number in range(1, flushed + 1):
        count = dice.randint(1, LONGEST)
        first = dice.randrange(SECTORS - count + 1)
        least[first : first + count] = [number] * count
    return least


def cut(path: Path, seed: int, seconds: float) -> int:
    """Let a driver write for so long, kill it, compare; return how many writes were flushed."""
    path.write_bytes(bytes(SECTORS * SECTOR))
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "drive"]
    process = subprocess.Popen([*command, str(path), str(seed)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    flushed = int(lines[-1])
    content = path.read_bytes()
    for sector, least in enumerate(expect(seed, flushed)):
        found = content[sector * SECTOR : (sector + 1) * SECTOR]
        number = int.from_bytes(found[:8], "little")
        assert found == fill(number), f"seed {seed}: sector {sector} is torn"
        assert number >= least, f"seed {seed}: sector {sector} lost write {least}, has {number}"
    return flushed


def main() -> None:
    """Be the driver, or cut its power again and again."""
    if sys.argv[1:2] == ["drive"]:
        drive(sys.argv[2], int(sys.argv[3]))
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    flushed = 0
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(first, first + kills):
            flushed += cut(Path(directory, "disk"), seed, random.Random(seed).random() / 2)
    print(f"{kills} kills, {flushed} writes flushed before, none lost")


if __name__ == "__main__":
    main()
