"""`vmm trace`: lines, figures, a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from struct import pack

import pytest

from tests.vmm.trace.machines import BusGuest, traced_block_machine
from vmm.cli import main


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trace of three reads of a disk."""
    directory = tmp_path_factory.mktemp("trace")
    disk = directory / "disk"
    disk.write_bytes(bytes(64 << 10))
    file = str(directory / "trace.jsonl")
    with traced_block_machine(file, disk) as machine:
        guest = BusGuest(machine)
        guest.start()
        for sector in (0, 8, 16):
            guest.request(0, pack("<IIQ", 0, 0, sector), 4097)
            guest.acknowledge()
    return file


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["trace", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_lines_are_in_the_order_of_what_happened(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run(capsys, trace)
    first = next(n for n, line in enumerate(lines) if "QueueNotify W 0x0" in line)
    told = [line.split("  ")[-1].strip() if "queue" in line else line for line in lines]
    assert "virtio0 queue 0 head 0: IN 8 sectors at 0" in lines[first + 1]
    assert "virtio0.irq rises" in told[first + 2]
    assert "virtio0.InterruptStatus R 0x1 UsedBuffer=1" in told[first + 3]
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--kind", "request"], 3),
        (["--register", "QueueNotify"], 3),
        (["--device", "virtio*", "--kind", "irq"], 2),
        (["--register", "Interrupt*", "--kind", "write"], 3),
    ],
)
def test_filters(
    trace: str, options: list[str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(run(capsys, trace, *options)) == count


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--device", "pl011"], "has no device 'pl011'; it has virtio0"),
        (["--replay", "pl0*"], "has no device 'pl0*'; it has virtio0"),
        (["--pdb"], "add --replay DEVICE"),
        (["--break", "1"], "add --replay DEVICE"),
    ],
)
def test_what_cannot_be_shown_is_wrong_usage(
    trace: str, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", trace, *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_statistics(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, trace, "--stats", "--histogram")
    [row] = [line for line in lines if line.startswith("virtio0.QueueNotify W")]
    assert row.split()[2] == "3"
    [row] = [line for line in lines if line.startswith("virtio0 queue 0 IN")]
    assert row.split()[4] == "3"
    requests = lines[lines.index("requests:") + 1 :]
    assert sum(int(line.split()[3]) for line in requests) == 3


def test_the_page_holds_all_and_needs_nothing(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    run(capsys, trace, "--html", str(page))
    text = page.read_text()
    found = re.search(r"^const trace = (.*);$", text, re.MULTILINE)
    assert found is not None
    data = json.loads(found[1])
    assert {"virtio0", "virtio0 irq", "virtio0 queue 0"} == set(data["tracks"])
    assert sum("IN 8 sectors" in event[4] for event in data["events"]) == 3
    assert not re.search(r"https?://|src=|@import", text)


def test_a_page_that_cannot_be_written(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", trace, "--html", "/no/such/place"]) == 2
    assert capsys.readouterr().err == "vmm: /no/such/place: No such file or directory\n"


def test_a_span_of_time(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, trace)
    # Whole microseconds are shown.
    time = float(lines[10].split()[0])
    since, until = str(time - 1e-6), str(time + 1e-6)
    around = run(capsys, trace, "--since", since, "--until", until)
    assert lines[10] in around
    assert len(around) < len(lines)
    later = run(capsys, trace, "--since", until)
    earlier = run(capsys, trace, "--until", since)
    assert earlier + around + later == lines
