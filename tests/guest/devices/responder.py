"""The other end of a network cable, for programs that are compared between Linux and the guest.

As ``passt`` (``--fd N``) it is behind a machine's network card; ``responder.py PROGRAM`` runs a
program on this system, in a network namespace where eth0 is a TAP interface that leads here.

It answers ARP for one address, and frames of a type for experiments (IEEE 802, local experimental
EtherType 1): the first letter of such a frame says what is sent back.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
import threading

ADDRESS = bytes((192, 0, 2, 1))
MAC = bytes.fromhex("020000000001")
STRANGER = bytes.fromhex("020000000099")
GROUP = bytes.fromhex("01005e000001")
EVERYBODY = b"\xff" * 6

ARP = 0x0806
EXPERIMENT = 0x88B5
CLONE_NEWNET = 0x4000_0000


def frame(target: bytes, kind: int, content: bytes, source: bytes = MAC) -> bytes:
    """Return an Ethernet frame, as short as the content allows."""
    return target + source + struct.pack(">H", kind) + content


def answers(request: bytes) -> list[bytes]:
    """Return the frames that ``request`` is answered by."""
    sender = request[6:12]
    kind = int.from_bytes(request[12:14], "big")
    content = request[14:]
    if kind == ARP and content[24:28] == ADDRESS and content[6:8] == b"\0\1":
        answer = content[:6] + b"\0\2" + MAC + ADDRESS + content[8:18]
        return [frame(sender, ARP, answer)]
    if kind == EXPERIMENT:
        return _experiment(sender, content)
    return []


def _experiment(sender: bytes, content: bytes) -> list[bytes]:
    match content[:1]:
        case b"e":  # echo
            return [frame(sender, EXPERIMENT, content)]
        case b"k":  # one frame of each kind
            targets = (sender, EVERYBODY, GROUP, STRANGER)
            return [frame(target, EXPERIMENT, b"kind") for target in targets]
        case b"n":  # frames with a length in place of a type
            return [frame(sender, 4, b"\xff\xffab"), frame(sender, 4, b"\xaa\xaaab")]
        case b"l":  # longer than a page
            return [frame(sender, EXPERIMENT, bytes(range(250)) * 36)]
        case b"m":  # many
            return [frame(sender, EXPERIMENT, b"%03d" % number) for number in range(200)]
        case _:
            return []


def serve_stream(line: socket.socket) -> None:
    """Speak as passt does: the length of each frame in front of it."""
    received = b""
    while data := line.recv(1 << 16):
        received += data
        while len(received) >= 4:
            end = 4 + int.from_bytes(received[:4], "big")
            if len(received) < end:
                break
            for answer in answers(received[4:end]):
                line.sendall(len(answer).to_bytes(4, "big") + answer)
            received = received[end:]


def serve_tap(tap: int) -> None:
    while True:
        select.select([tap], [], [])
        for answer in answers(os.read(tap, 1 << 16)):
            os.write(tap, answer)


def run_in_namespace(program: str) -> int:
    from vmm.devices.virtio.tap import open_tap

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace")
    # Nobody but the program shall send.
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as setting:
        setting.write("1")
    tap = open_tap("eth0", headers=False)
    threading.Thread(target=serve_tap, args=(tap,), daemon=True).start()
    return subprocess.run([program], check=False).returncode


if __name__ == "__main__":
    if "--fd" in sys.argv:
        serve_stream(socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1])))
    else:
        sys.exit(run_in_namespace(sys.argv[1]))
