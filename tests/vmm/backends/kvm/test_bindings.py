"""Every number and every layout against the kernel's headers, as compiled for each architecture."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vmm.arch import ARCHITECTURES, host_arch
from vmm.backends.kvm import abi, abi_arm64, abi_x86_64, arm64_registers, build_ffi

MODULES: dict[str, list[ModuleType]] = {
    "x86_64": [abi, abi_x86_64],
    "arm64": [abi, abi_arm64],
}
TARGETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

# Fields that the header keeps in an anonymous union of another shape, and padding.
UNNAMED = {"padding", "pad"}


@pytest.fixture(scope="module")
def ffis() -> dict[str, Any]:
    build_ffi.main()
    return {
        arch: importlib.import_module(f"vmm.backends.kvm._ffi_{arch}").ffi for arch in ARCHITECTURES
    }


def fields_of(kind: Any, prefix: str = "", base: int = 0) -> dict[str, int]:
    """Return the offset of each field of a structure, nested ones with a dot in their names."""
    offsets = {}
    for name, field in kind.fields:
        if name in UNNAMED:
            continue
        path = f"{prefix}{name}"
        if name:
            offsets[path] = base + field.offset
        if field.type.kind in ("struct", "union"):
            inner = f"{path}." if name else prefix
            offsets |= fields_of(field.type, inner, base + field.offset)
    return offsets


def layout_assertions(ffi: Any) -> list[str]:
    _, structures, _ = ffi.list_types()
    lines = []
    for name in structures:
        if name.startswith("$"):
            continue
        lines.append(equal(f"sizeof(struct {name})", ffi.sizeof(f"struct {name}")))
        for path, offset in fields_of(ffi.typeof(f"struct {name}")).items():
            lines.append(equal(f"offsetof(struct {name}, {path})", offset))
    return lines


def number_assertions(modules: list[ModuleType]) -> list[str]:
    return [
        equal(name, number)
        for module in modules
        for name, number in vars(module).items()
        if name.startswith("KVM_")
    ]


def register_assertions() -> list[str]:
    fields = {"pc": "regs.pc", "pstate": "regs.pstate", "sp_el0": "regs.sp"}
    fields |= {f"x{number}": f"regs.regs[{number}]" for number in range(31)}
    fields |= {"sp_el1": "sp_el1", "elr_el1": "elr_el1", "spsr_el1": "spsr[KVM_SPSR_EL1]"}
    core = "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG"
    lines = [
        equal(f"({core}({field}))", arm64_registers.IDS[name]) for name, field in fields.items()
    ]
    lines.append(
        equal("ARM64_SYS_REG(3, 1, 10, 2, 5)", arm64_registers.system_register(3, 1, 10, 2, 5))
    )
    return lines


def equal(expression: str, number: int) -> str:
    return f'_Static_assert(({expression}) == {number}ULL, "{expression} is not {number}");'


def compile_for(arch: str, lines: list[str], directory: Path) -> str:
    """Compile the assertions against the headers of ``arch``; return what the compiler says."""
    pytest.importorskip("ziglang", reason="needs the C compiler of the ziglang package")
    source = directory / "check.c"
    head = ["#include <linux/kvm.h>", "#include <signal.h>", "#include <stddef.h>"]
    source.write_text("\n".join(["#define _GNU_SOURCE", *head, *lines]) + "\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[arch], "-c"]
    result = subprocess.run(
        [*command, str(source), "-o", str(directory / "check.o")],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stderr


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_all_layouts_and_numbers_are_the_kernels(
    arch: str, ffis: dict[str, Any], tmp_path: Path
) -> None:
    lines = layout_assertions(ffis[arch]) + number_assertions(MODULES[arch])
    if arch == "arm64":
        lines += register_assertions()
    assert len(lines) > 100
    assert compile_for(arch, lines, tmp_path) == ""


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_comparison_notices_a_difference(arch: str, tmp_path: Path) -> None:
    complaint = compile_for(arch, [equal("KVM_RUN", abi.KVM_RUN + 1)], tmp_path)
    assert "KVM_RUN is not" in complaint


@pytest.mark.skipif(host_arch() is None, reason="needs an x86_64 or arm64 host")
def test_the_run_loop_reads_the_fields_it_means(ffis: dict[str, Any]) -> None:
    from vmm.backends.kvm import vcpu

    ffi = ffis[str(host_arch())]
    run = ffi.new("struct kvm_run *")
    page = ffi.buffer(run)
    run.io.direction, run.io.size, run.io.port = 0x11, 0x12, 0x1314
    run.io.count, run.io.data_offset = 0x15161718, 0x191A1B1C1D1E1F10
    assert vcpu.IO.unpack_from(page) == (0x11, 0x12, 0x1314, 0x15161718, 0x191A1B1C1D1E1F10)
    run.mmio.phys_addr, run.mmio.len, run.mmio.is_write = 0x2122232425262728, 0x292A2B2C, 0x2D
    assert vcpu.MMIO.unpack_from(page) == (0x2122232425262728, 0x292A2B2C, 0x2D)
    assert ffi.offsetof("struct kvm_run", "immediate_exit") == vcpu.IMMEDIATE_EXIT
    assert ffi.offsetof("struct kvm_run", "exit_reason") == vcpu.EXIT_REASON
    run.mmio.data = [1] * 8
    assert page[vcpu.MMIO_DATA : vcpu.MMIO_DATA + 8] == bytes([1] * 8)


def test_building_again_changes_nothing() -> None:
    build_ffi.main()
    modules = [build_ffi.HERE / f"_ffi_{arch}.py" for arch in ARCHITECTURES]
    before = [(module.stat().st_mtime_ns, module.read_bytes()) for module in modules]
    build_ffi.main()
    assert [(module.stat().st_mtime_ns, module.read_bytes()) for module in modules] == before
