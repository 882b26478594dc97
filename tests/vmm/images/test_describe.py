"""`describe` says what the headers say, in values that JSON can hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vmm.images.elf_maker import PT_INTERP, PT_TLS, Part, R, kernel, program
from vmm.images import describe as module
from vmm.images.recognise import open_image

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path, arch: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an image goes; beside it is the kernel that would run it."""
    ours = tmp_path / "kernel"
    ours.write_bytes(kernel(arch).build())
    monkeypatch.setattr(module, "kernel_path", lambda _: str(ours))
    return tmp_path / "image"


def describe(path: Path, data: bytes) -> dict[str, object]:
    path.write_bytes(data)
    with open_image(str(path)) as image:
        facts = image.describe()
    assert json.loads(json.dumps(facts)) == facts
    return facts


def test_a_static_program(path: Path, arch: str) -> None:
    facts = describe(path, program(arch).build())
    assert facts["kind"] == "linux-program"
    assert facts["architecture"] == arch
    assert facts["boot_protocol"] == "calypso"
    assert facts["linking"] == "static"
    assert facts["entry"] == 0x40_0010
    assert facts["interpreter"] is None
    assert facts["tls_size"] is None
    assert facts["needs"] == []
    assert facts["segments"][1] == {
        "type": "LOAD",
        "rights": "RW-",
        "virtual": 0x40_2000,
        "offset": 0x2000,
        "file_size": 4,
        "memory_size": 0x2345,
        "alignment": 0x1000,
    }


def test_a_dynamic_program_needs_its_loader(path: Path, arch: str) -> None:
    maker = program(arch)
    maker.parts += [
        Part(PT_INTERP, R, 0, b"/lib/ld.so\0", alignment=1),
        Part(PT_TLS, R, 0x40_2000, b"", memory_size=24, alignment=8),
    ]
    facts = describe(path, maker.build())
    assert facts["linking"] == "dynamic"
    assert facts["interpreter"] == "/lib/ld.so"
    assert facts["tls_size"] == 24
    assert facts["needs"] == ["/lib/ld.so and its libraries, in a cpio archive given by --initrd"]


def test_a_kernel(path: Path, arch: str) -> None:
    facts = describe(path, kernel(arch).build())
    assert facts["kind"] == "calypso-kernel"
    assert facts["notes"] == [{"name": "Calypso", "type": 1, "description": "01000000"}]
    assert facts["segments"][0]["physical"] == {"x86_64": 0x10_0000, "arm64": 0x4008_0000}[arch]
    assert facts["needs"] == ["a program to run"]


def test_memory_minimum_counts_kernel_and_program(path: Path, arch: str) -> None:
    kernel_end = {"x86_64": 0x10_0000, "arm64": 0x8_0000}[arch] + 0x9000
    assert describe(path, kernel(arch).build())["memory_minimum"] == kernel_end
    content = program(arch).build()
    assert 0x2000 < len(content) <= 0x3000
    assert describe(path, content)["memory_minimum"] == kernel_end + 0x3000


def test_something_else(path: Path) -> None:
    facts = describe(path, b"hello\n")
    assert facts["kind"] == "unknown"
    assert facts["architecture"] is None
    assert "a text file" in str(facts["complaint"])
