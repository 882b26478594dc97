"""The other end of a network cable, for programs that are compared between Linux and the guest.

As ``passt`` (``--fd N``) it is behind a machine's network card; ``responder.py PROGRAM`` runs a
program on this system, in a network namespace where eth0 is a TAP interface that leads here.

It answers ARP for one address, and frames of a type for experiments (IEEE 802, local experimental
EtherType 1): the first letter of such a frame says what is sent back. It answers pings, and UDP by
the port that is asked; it is every host of IPv4 that it gets packets for.
"""

from __future__ import annotations

import ctypes
import os
import random
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

IP = 0x0800
ARP = 0x0806
EXPERIMENT = 0x88B5

ICMP, UDP = 1, 17
PING_ID = 0x1234
BROADCAST = bytes((192, 0, 2, 255))

# Ports by which a datagram is answered otherwise than by itself; one to any further is refused.
PING_BACK, RESOLVE = 20, 23

# Where the answer to RESOLVE goes.
RESOLVED = 4000

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
    if kind == ARP and content[6:8] == b"\0\2":
        return [frame(sender, IP, datagram(content[14:18], RESOLVE, RESOLVED, b"resolved"))]
    if kind == EXPERIMENT:
        return _experiment(sender, content)
    if kind == IP and content[9] == ICMP:
        return [frame(sender, IP, packet) for packet in _icmp(content)]
    if kind == IP and content[9] == UDP:
        return _udp(sender, content)
    return []


# ---- IPv4 ----


def checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071."""
    words = struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packet(
    target: bytes, protocol: int, content: bytes, source: bytes = ADDRESS, fragment: int = 0
) -> bytes:
    """Return an IPv4 packet."""
    fields = (0x45, 0, 20 + len(content), 1, fragment, 64, protocol, 0, source, target)
    header = struct.pack(">BBHHHBBH4s4s", *fields)
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + content


def icmp(target: bytes, kind: int, code: int, rest: int, content: bytes, source: bytes) -> bytes:
    """Return a packet of ICMP."""
    message = struct.pack(">BBHI", kind, code, 0, rest) + content
    message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    return packet(target, ICMP, message, source)


def datagram(
    target: bytes, port: int, to: int, data: bytes, source: bytes = ADDRESS, fault: int = 0
) -> bytes:
    """Return a packet of UDP; ``fault`` makes its checksum wrong."""
    length = 8 + len(data)
    pseudo = source + target + struct.pack(">HH", UDP, length)
    header = struct.pack(">HHH", port, to, length)
    total = checksum(pseudo + header + b"\0\0" + data) ^ fault
    return packet(target, UDP, header + struct.pack(">H", total or 0xFFFF) + data, source)


def _icmp(request: bytes) -> list[bytes]:
    asker, asked, message = request[12:16], request[16:20], request[20:]
    assert checksum(request[:20]) == 0
    assert checksum(message) == 0
    rest = int.from_bytes(message[4:8], "big")
    if message[0] == 8:
        return [icmp(asker, 0, 0, rest, message[8:], asked)]
    if message[0] == 0 and rest >> 16 == PING_ID:
        return [datagram(asker, PING_BACK, int.from_bytes(message[8:10], "big"), b"pong")]
    return []


def _udp(sender: bytes, request: bytes) -> list[bytes]:
    asker, asked = request[12:16], request[16:20]
    pseudo = request[12:20] + struct.pack(">HH", UDP, len(request) - 20)
    assert checksum(pseudo + request[20:]) == 0
    port, to = struct.unpack_from(">HH", request, 20)
    data = request[28:]
    good = datagram(asker, to, port, data, asked)
    match to:
        case 7:  # echo
            return [frame(sender, IP, good)]
        case 9:  # discard
            return []
        case 20:  # a ping, whose answer is told
            content = struct.pack(">H", port) + b"any"
            return [frame(sender, IP, icmp(asker, 8, 0, PING_ID << 16, content, asked))]
        case 21:  # wrong and short ones before the right one
            bad = datagram(asker, to, port, b"bad", asked, fault=1)
            return [frame(sender, IP, bad), frame(sender, IP, good[:-1]), frame(sender, IP, good)]
        case 22:  # behind the first part of a packet
            part = packet(asker, UDP, good[20:], asked, fragment=0x2000)
            return [frame(sender, IP, part), frame(sender, IP, good)]
        case 23:  # a question by ARP, whose answer is told
            question = struct.pack(">HHBBH", 1, IP, 6, 4, 1) + MAC + ADDRESS + bytes(6) + asker
            return [frame(EVERYBODY, ARP, question)]
        case 24:  # to everybody
            return [frame(EVERYBODY, IP, datagram(BROADCAST, to, port, data, asked))]
        case 25:  # what nobody should send
            return [*_mutations(sender, asker, asked, port), frame(sender, IP, good)]
        case _:
            return [frame(sender, IP, icmp(asker, 3, 3, 0, request[:28], asked))]


def _mutations(sender: bytes, asker: bytes, asked: bytes, port: int) -> list[bytes]:
    """Return frames that were right before some of their bytes were changed or cut off."""
    dice = random.Random(1)
    arp = struct.pack(">HHBBH", 1, IP, 6, 4, 1) + MAC + ADDRESS + bytes(6) + asker
    quoted = datagram(asked, port, 25, b"x", asker)
    patterns = [
        frame(sender, ARP, arp),
        frame(sender, IP, datagram(asker, 25, port, b"data", asked)),
        frame(sender, IP, icmp(asker, 8, 0, 1, b"ping", asked)),
        frame(sender, IP, icmp(asker, 3, 3, 0, quoted, asked)),
    ]
    made = []
    for _ in range(2000):
        wild = bytearray(dice.choice(patterns))
        for _ in range(dice.randrange(4)):
            wild[dice.randrange(12, len(wild))] = dice.choice(
                (0, 1, 0x4F, 0xFF, dice.randrange(256))
            )
        if wild[12:14] == b"\x08\0" and dice.random() < 0.8:
            header = wild[14 : 14 + 4 * (wild[14] & 15)]
            header[10:12] = b"\0\0"
            wild[24:26] = struct.pack(">H", checksum(bytes(header)))
        made.append(
            bytes(wild[: dice.choice((len(wild), len(wild), dice.randrange(1, len(wild))))])
        )
    return made


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
