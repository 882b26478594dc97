"""Ports of the virtio console: what a program sees of them is what it sees on Linux.

Linux's own transcript is taken in `tests.foreign.test_virtio`, from the same program.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tests.guest.test_programs import build
from vmm import Machine
from vmm.console import Console

PROGRAM = Path(__file__).parent / "devices/port.c"

EXPECTED = """\
open(argv[1], O_RDWR)                                        -1 EBUSY
read_text(fd)                                                0
write(fd, "nobody", 6)                                       -1 EAGAIN
events(fd)                                                   81
lseek(fd, 0, SEEK_SET)                                       -1 ESPIPE
fcntl(fd, F_SETFL, 0)                                        0
ready
write(fd, "by the port\\n", 12)                               12
wait_for(fd, POLLIN)                                         1
good morning
read_text(fd)                                                13
events(fd)                                                   4
fcntl(fd, F_SETFL, O_NONBLOCK)                               0
read_text(fd)                                                -1 EAGAIN
events(fd)                                                   0
full
wait_for(fd, POLLOUT)                                        4
fcntl(fd, F_SETFL, 0)                                        0
write(fd, "end\\n", 4)                                        4
wait_for(fd, 0)                                              16
good bye
read_text(fd)                                                9
read_text(fd)                                                0
close(fd)                                                    0
read_text(fd)                                                0
close(fd)                                                    0
finished
"""


def speak(console: Console, path: Path) -> None:
    """Be the program of the host that port.c expects at ``path``."""
    console.expect(rb"ready\r?\n", timeout=60)
    with socket.socket(socket.AF_UNIX) as program:
        program.settimeout(60)
        program.connect(str(path))
        assert program.recv(100) == b"by the port\n"
        program.sendall(b"good morning\n")
        console.expect(rb"full\r?\n", timeout=60)
        while not program.recv(1 << 20).endswith(b"end\n"):
            pass
        program.sendall(b"good bye\n")
    console.expect(rb"finished\r?\n", timeout=60)


def test_a_port_is_as_on_linux(arch: str, backend: str, tmp_path: Path) -> None:
    path = tmp_path / "port"
    with Machine(
        build(PROGRAM, arch, "static"),
        ["/dev/virtio-ports/control"],
        arch=arch,
        backend=backend,
        ports=[f"other={tmp_path / 'other'}", f"control={path}"],
        stdin=b"",
    ) as machine:
        machine.start()
        speak(machine.console, path)
        assert machine.wait(timeout=30) == 0
        assert machine.console.output.decode() == EXPECTED
