"""What a trace says of a machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from tests.foreign.images import CODE, arm64_linked
from tests.vmm.backends.assemble import assemble
from tests.vmm.machine.dice import Dice
from tests.vmm.machine.kernels import SPIN, request, text_offset, write_kernel
from tests.vmm.trace.machines import MEMORY, BusGuest, traced_block_machine
from vmm.cli import main
from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.machine.machine import Machine
from vmm.trace.reader import Trace

DICE = 0x0B00_0000
PL011 = 0x0900_0000
DR, FR, CR, IMSC = 0x00, 0x18, 0x30, 0x38


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "trace.jsonl")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(64 << 10))
    return path


def of_kind(trace: Trace, kind: str) -> list[dict[str, Any]]:
    return [record for record in trace.records if record["kind"] == kind]


def test_an_access_is_told_in_the_words_of_the_register_map(file: str) -> None:
    with Machine("hello", arch="arm64", backend="unicorn", trace=file) as machine:
        machine.bus.mmio_write(PL011 + CR, 4, 0x301)
        assert machine.bus.mmio_read(PL011 + CR, 4) == 0x301
        machine.bus.mmio_read(0x0666_0000, 4)
    trace = Trace(file)
    write, read, nowhere = trace.records
    assert (write["kind"], write["device"], write["register"]) == ("write", "pl011", "CR")
    assert write["value"] == 0x301
    assert write["fields"]["UARTEN"] == write["fields"]["TXE"] == 1
    assert (read["kind"], read["value"], read["fields"]["RXE"]) == ("read", 0x301, 1)
    assert (nowhere["device"], nowhere["register"]) == ("nothing", "mmio 0x6660000")
    assert write["n"] < read["n"] < nowhere["n"]
    assert 0 <= write["t"] <= read["t"]
    assert trace.devices["pl011"]["class"] == "vmm.devices.pl011:Pl011"
    assert trace.header["arch"] == "arm64"


def test_accesses_of_a_guest_have_its_program_counter(file: str, arch: str, backend: str) -> None:
    with Machine("hello", arch=arch, backend=backend, trace=file) as machine:
        assert machine.run(timeout=60) == 0
    trace = Trace(file)
    [exit_] = [record for record in trace.records if record["register"] == "EXIT"]
    assert exit_["vcpu"] == 0
    assert exit_["fields"]["status"] == 0
    assert trace.symbols[exit_["pc"]].startswith("host_ask")


def test_lines_and_inputs_are_events(file: str) -> None:
    with Machine("hello", arch="arm64", backend="unicorn", trace=file) as machine:
        machine.bus.mmio_write(PL011 + CR, 4, 0x301)
        machine.bus.mmio_write(PL011 + IMSC, 4, 0x10)
        machine.console.send(b"x")
        assert machine.bus.mmio_read(PL011 + DR, 4) == ord("x")
    trace = Trace(file)
    [taken] = of_kind(trace, "input")
    assert (taken["device"], taken["method"]) == ("pl011", "receive")
    assert taken["arguments"] == [{"bytes": b"x".hex()}]
    assert [(i["line"], i["level"]) for i in of_kind(trace, "irq")] == [("irq", 1), ("irq", 0)]


def test_a_request_is_told_with_its_descriptors(file: str, disk: Path) -> None:
    with traced_block_machine(file, disk) as machine:
        guest = BusGuest(machine)
        guest.start()
        data, _ = guest.request(0, pack("<IIQ", 0, 0, 8), 4097)
    assert data[:4096] == disk.read_bytes()[4096:8192]
    trace = Trace(file)
    [request_] = of_kind(trace, "request")
    assert request_["summary"] == "IN 8 sectors at 8"
    assert [(d[1], d[2]) for d in request_["descriptors"]] == [(16, False), (4097, True)]
    assert (request_["device"], request_["queue"], request_["written"]) == ("virtio0", 0, 4097)
    [kick] = [r for r in trace.records if r.get("register") == "QueueNotify"]
    assert kick["t"] <= request_["t"]
    assert request_["took"] <= kick["took"]


def test_control_messages_are_told_by_name(file: str, tmp_path: Path) -> None:
    port = f"log=file:{tmp_path / 'log'}"
    with Machine(
        "hello", arch="arm64", backend="unicorn", memory=MEMORY, ports=[port], trace=file
    ) as machine:
        guest = BusGuest(machine)
        guest.start()
        guest.request(3, pack("<IHH", 1, 6, 1), 0)
        guest.request(3, b"short", 0)
        guest.request(5, b"text", 0)
    told = [request_["summary"] for request_ in of_kind(Trace(file), "request")]
    assert told == ["PORT_OPEN 1, port 1", "malformed", "4 bytes out"]


def test_a_guest_can_say_something(file: str, tmp_path: Path) -> None:
    text = b"half way"
    kernel = write_kernel(
        tmp_path / "kernel",
        "arm64",
        [request(abi.TRACE, text_offset("arm64", 0), len(text)), request(abi.EXIT)],
        SPIN["arm64"],
        (text,),
    )
    with Machine(kernel, backend="unicorn", trace=file) as machine:
        machine.run(timeout=60)
    assert [record["text"] for record in of_kind(Trace(file), "guest")] == ["half way"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("pl011", {"CR", "FR"}),
        ("pl0??.F*", {"FR"}),
        ("kind=read", {"FR", "SIDES"}),
        ("dice,pl011.CR", {"SIDES", "CR"}),
        ("dice,kind=write", set()),
    ],
)
def test_a_filter_leaves_out_the_rest(file: str, words: str, wanted: set[str]) -> None:
    with Machine(
        "hello", arch="arm64", backend="unicorn", trace=f"{file},{words}", devices=[Dice()]
    ) as machine:
        machine.bus.mmio_write(PL011 + CR, 4, 0x301)
        machine.bus.mmio_read(PL011 + FR, 4)
        machine.bus.mmio_read(DICE, 4)
    assert {record["register"] for record in Trace(file).records} == wanted


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("d1ce", "is empty: nothing fits d1ce; there was dice"),
        ("d1ce,dice", ""),
        ("kind=write", ""),
    ],
)
def test_a_filter_that_fits_nothing_is_told(file: str, words: str, complaint: str) -> None:
    with Machine(
        "hello", backend="unicorn", arch="arm64", trace=f"{file},{words}", devices=[Dice()]
    ) as machine:
        machine.bus.mmio_read(DICE, 4)
    assert machine.recorder is not None
    assert machine.recorder.failure.endswith(complaint)
    assert bool(machine.recorder.failure) == bool(complaint)


def test_perfetto_gets_trace_events(file: str, disk: Path) -> None:
    with traced_block_machine(file, disk, "perfetto") as machine:
        guest = BusGuest(machine)
        guest.start()
        guest.request(0, pack("<IIQ", 0, 0, 0), 513)
    events = json.loads(Path(file).read_text())
    kick = next(e for e in events if e.get("name") == "QueueNotify W")
    begin = next(e for e in events if e.get("ph") == "b")
    end = next(e for e in events if e.get("ph") == "e")
    assert begin["name"] == "IN 1 sectors at 0"
    assert kick["ts"] <= begin["ts"] <= end["ts"] <= kick["ts"] + kick["dur"] + 1
    tracks = {e["tid"]: e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    assert tracks[kick["tid"]] == "virtio0"
    assert tracks[begin["tid"]] == "virtio0 queue 0"
    assert [e["args"]["level"] for e in events if e.get("ph") == "C"] == [1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--trace", "/no/such/place/t"], "--trace /no/such/place/t: No such file"),
        (["--trace", "{file},kind=all"], "kind=all: the kinds are"),
        (["--trace", "{file},replay", "--trace-format", "perfetto"], "can be replayed"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: list[str], complaint: str, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = [option.format(file=file) for option in options]
    assert main(["run", "--quiet", "--backend", "unicorn", *options, "hello"]) == 2
    error = capfd.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_full_disk_ends_the_trace_and_not_the_machine(capfd: pytest.CaptureFixture[str]) -> None:
    status = main(
        [
            "run",
            "--quiet",
            "--backend",
            "unicorn",
            "--arch",
            "arm64",
            "--trace",
            "/dev/full",
            "hello",
        ]
    )
    assert status == 0
    assert capfd.readouterr().err == (
        "vmm: the trace /dev/full ends early: No space left on device\n"
    )


def test_a_machine_that_is_not_traced_loads_nothing_of_it() -> None:
    program = (
        "import sys; from vmm import Machine\n"
        "with Machine('hello', arch='arm64', backend='unicorn') as m: m.run(timeout=60)\n"
        "print([name for name in sys.modules if name.startswith(('vmm.trace', 'json'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"\xff\xfe", b"[1]\n", b"{}\n", b"hello\n", b'{"calypso-trace": 99}\n'):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is no trace"):
            Trace(str(path))
    path.write_bytes(b'{"calypso-trace": 2}\n{"kind": "read"}\n')
    with pytest.raises(UsageError, match="line 2: this is no record"):
        Trace(str(path))


def test_a_trace_that_was_cut_off_is_read_as_far_as_it_goes(file: str) -> None:
    with Machine("hello", arch="arm64", backend="unicorn", trace=file) as machine:
        machine.bus.mmio_read(PL011 + FR, 4)
        machine.bus.mmio_read(PL011 + FR, 4)
    path = Path(file)
    path.write_bytes(path.read_bytes()[:-20])
    trace = Trace(file)
    assert trace.cut
    assert len(trace.records) == 1


# The first vCPU starts the second, which sends a character, tells the first, and waits.
TWO = """
    movz x0, #0xc400, lsl #16
    movk x0, #3
    mov x1, #1
    adr x2, other
    mov x3, #0
    hvc #0
    movz x9, #0x4020, lsl #16
1:  yield
    ldr w10, [x9]
    cbz w10, 1b
    movz x4, #0x0900, lsl #16
    ldr w5, [x4, #0x18]
    movz w0, #0x8400, lsl #16
    movk w0, #8
    hvc #0
other:
    movz x4, #0x0900, lsl #16
    mov w5, #65
    str w5, [x4]
    movz x9, #0x4020, lsl #16
    str w5, [x9]
2:  yield
    b 2b
"""


def test_each_access_is_told_with_its_processor(file: str, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(arm64_linked(assemble("arm64", TWO, CODE["arm64-linked"]).code))
    with Machine(kernel, backend="unicorn", cpus=2, trace=file) as machine:
        assert machine.run(timeout=20) == 0
    write, read = [r for r in Trace(file).records if r.get("device") == "pl011"]
    assert (write["register"], write["vcpu"]) == ("TDR", 1)
    assert (read["register"], read["vcpu"]) == ("FR", 0)
    assert write["pc"] - read["pc"] == 24
