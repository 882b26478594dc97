"""The build of the guest: what it makes, when it makes it again, and what it says when it fails."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from guest import build
from vmm.hypercall import abi

KERNEL_ADDRESSES = {
    "x86_64": (0x10_0000, 0xFFFF_9000_0000_0000),
    "arm64": (0x4008_0000, 0xFFFF_0000_0000_0000),
}


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("artifacts")
    assert build.main(["--out", str(out)]) == 0
    return out


@pytest.fixture
def kernel(products: Path, arch: str) -> ELFFile:
    with (products / f"kernel-{arch}.elf").open("rb") as file:
        yield ELFFile(file)


def test_segments_are_where_the_vmm_puts_them(kernel: ELFFile, arch: str) -> None:
    physical, direct_map = KERNEL_ADDRESSES[arch]
    loads = [s for s in kernel.iter_segments() if s["p_type"] == "PT_LOAD"]
    assert loads[0]["p_paddr"] == physical
    # Text, constants, data; guards around the stacks of emergencies and of boot.
    assert [segment["p_flags"] for segment in loads] == [5, 4, 6, 0, 6, 0, 6, 0]
    end = 0
    for segment in loads:
        assert segment["p_vaddr"] == segment["p_paddr"] + direct_map
        assert segment["p_paddr"] % 4096 == 0
        assert segment["p_paddr"] >= end
        end = segment["p_paddr"] + segment["p_memsz"]
    assert loads[0]["p_vaddr"] <= kernel.header["e_entry"]
    assert kernel.header["e_entry"] < loads[0]["p_vaddr"] + loads[0]["p_memsz"]


def test_a_note_names_the_abi(kernel: ELFFile) -> None:
    (segment,) = [s for s in kernel.iter_segments() if s["p_type"] == "PT_NOTE"]
    (note,) = segment.iter_notes()
    assert (note["n_name"], note["n_descsz"]) == ("Calypso", 4)
    (version,) = struct.unpack("<I", segment.data()[-4:])
    assert version == abi.ABI_VERSION


def test_symbols_are_kept_and_debug_information_is_not(kernel: ELFFile) -> None:
    names = {symbol.name for symbol in kernel.get_section_by_name(".symtab").iter_symbols()}
    assert {"kernel_main", "trap_dispatch", "program_start"} <= names
    assert not any(section.name.startswith(".debug") for section in kernel.iter_sections())


def test_firmware_is_a_small_flat_blob(products: Path) -> None:
    blob = (products / "entry-arm64.bin").read_bytes()
    assert 0 < len(blob) < 4096
    assert len(blob) % 4 == 0
    assert blob[-4:] == bytes.fromhex("60001fd6")  # br x3


def test_programs_are_static_and_small(products: Path, arch: str) -> None:
    hello = products / "programs" / arch / "hello"
    assert hello.stat().st_size < 16 << 10
    with hello.open("rb") as file:
        elf = ELFFile(file)
        assert not any(s["p_type"] in ("PT_INTERP", "PT_DYNAMIC") for s in elf.iter_segments())


class Sandbox:
    """A source file that is built with the compiler of the guest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(build, "ROOT", folder)
        monkeypatch.setattr(build, "OBJECTS", folder / "objects")
        self.source = folder / "main.c"
        self.header = folder / "value.h"
        self.header.write_text("#define VALUE 1\n")
        self.source.write_text(
            '#include "value.h"\nint value(void);\nint value(void) { return VALUE; }\n'
        )

    def build(self) -> tuple[int, list[str]]:
        """How many commands ran, and what they complained of."""
        step = build.compile_step(self.source, "test", "x86_64-unknown-none-elf", ())
        builder = build.Builder(verbose=False)
        problems = build.run_all(builder, [step], 1)
        builder.save()
        return builder.ran, problems


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    return Sandbox(tmp_path, monkeypatch)


def test_nothing_is_made_twice(sandbox: Sandbox) -> None:
    assert sandbox.build() == (1, [])
    assert sandbox.build() == (0, [])
    # Content decides, not time.
    sandbox.source.touch()
    assert sandbox.build() == (0, [])


def test_what_changed_is_made_again(sandbox: Sandbox) -> None:
    sandbox.build()
    sandbox.header.write_text("#define VALUE 2\n")
    assert sandbox.build() == (1, [])
    assert sandbox.build() == (0, [])
    (sandbox.source.parent / "objects/test/main.c.o").unlink()
    assert sandbox.build() == (1, [])


def test_names_of_folders_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my C # $1 folder"
    folder.mkdir()
    sandbox = Sandbox(folder, monkeypatch)
    assert sandbox.build() == (1, [])
    sandbox.header.write_text("#define VALUE 2\n")
    assert sandbox.build() == (1, [])
    assert sandbox.build() == (0, [])


def test_what_no_step_should_raise_is_raised(sandbox: Sandbox) -> None:
    folder = sandbox.source.parent
    step = build.Step(["true"], folder / "out", [folder / "missing"])
    with pytest.raises(FileNotFoundError, match="missing"):
        build.run_all(build.Builder(verbose=False), [step], 1)


def test_a_warning_is_an_error_that_says_where(sandbox: Sandbox) -> None:
    sandbox.source.write_text("int value(void);\nint value(void) { int unused; return 1; }\n")
    ran, problems = sandbox.build()
    assert ran == 0
    assert len(problems) == 1
    assert "main.c:2:" in problems[0]
    assert "unused" in problems[0]
    # It is tried again.
    assert sandbox.build()[1] == problems


def test_a_header_that_has_gone_is_noticed(sandbox: Sandbox) -> None:
    sandbox.build()
    sandbox.header.unlink()
    _, problems = sandbox.build()
    assert "value.h" in problems[0]


def test_the_exit_status_tells(tmp_path: Path) -> None:
    command = [sys.executable, build.__file__, "--out", str(tmp_path), "--jobs", "no"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert "--jobs" in result.stderr


def test_guard_pages_are_an_option_of_the_build(arch: str) -> None:
    architecture = next(known for known in build.ARCHITECTURES if known.name == arch)
    *others, link = build.kernel_steps(architecture, Path("kernel.elf"), guards=(4, 2))
    compilations = [step for step in others if step.dependencies is not None]
    assert compilations
    for step in compilations:
        assert {"-DSTACK_GUARDS_BELOW=4", "-DSTACK_GUARDS_ABOVE=2"} <= set(step.command)
    assert {"--defsym=STACK_GUARDS_BELOW=4", "--defsym=STACK_GUARDS_ABOVE=2"} <= set(link.command)


@pytest.mark.parametrize("text", ["", "1", "0,1", "1,2000", "1,2,3", "a,b"])
def test_guard_pages_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - argparse makes the message
        build.guard_pages(text)
