"""Stand-ins for the kernels of other projects boot by their own protocols on every backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ON_KVM
from tests.foreign import programs
from tests.foreign.images import ARM64_FORMS, X86_FORMS, build
from vmm.arch import host_arch
from vmm.errors import BackendUnavailable
from vmm.machine.machine import Machine

FORMS = {"x86_64": X86_FORMS, "arm64": ARM64_FORMS}


def on_backends(arch: str, forms: tuple[str, ...]) -> list[object]:
    """Pair forms of ``arch`` with the backends that can exist for it on this host."""
    pairs = [pytest.param(form, "unicorn", id=f"{form}-unicorn") for form in forms]
    if arch == host_arch():
        pairs += [pytest.param(form, "kvm", marks=ON_KVM, id=f"{form}-kvm") for form in forms]
    return pairs


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "kernel"


@pytest.mark.parametrize(("form", "backend"), on_backends("x86_64", X86_FORMS))
def test_kernels_for_pcs(image: Path, form: str, backend: str) -> None:
    image.write_bytes(build(form, programs.x86(form, "debug-exit")))
    initrd = image.with_name("initrd")
    initrd.write_bytes(b"#" * 5000)
    with Machine(
        image, ["two"], backend=backend, cmdline="one", initrd=initrd, stdin=b"k"
    ) as machine:
        assert machine.run(timeout=20) == 83
        line = {"bzimage": b"console=ttyS0 one two"}.get(form, b"one two")
        if form in ("multiboot", "multiboot-flat"):
            line = b"kernel one two"
        assert machine.console.output == line + b",#k"


@pytest.mark.parametrize("end", programs.X86_ENDS)
def test_ends_of_a_pc(image: Path, end: str) -> None:
    image.write_bytes(build("linux-elf", programs.x86("linux-elf", end)))
    initrd = image.with_name("initrd")
    initrd.write_bytes(b"#")
    with Machine(image, backend="unicorn", initrd=initrd, stdin=b"k") as machine:
        assert machine.run(timeout=20) == programs.X86_ENDS[end][1]
        assert machine.outcome is not None
        assert machine.outcome.kind == ("reset" if end == "i8042" else "powered off")


GIC = {"fixed-elf": b"2", "arm64-linked": b"2", "arm64-image": b"3", "arm64-firecracker": b"3"}


@pytest.mark.parametrize(("form", "backend"), on_backends("arm64", ARM64_FORMS))
@pytest.mark.parametrize("end", programs.ARM64_ENDS)
def test_kernels_for_arm64(image: Path, form: str, end: str, backend: str) -> None:
    # The GICv2 of KVM has no identification registers.
    version = b"0" if (backend, GIC[form]) == ("kvm", b"2") else GIC[form]
    image.write_bytes(build(form, programs.arm64(form, end)))
    try:
        machine = Machine(image, backend=backend, stdin=b"k")
    except BackendUnavailable as error:
        if GIC[form] == b"3":
            raise
        pytest.skip(str(error))
    with machine:
        assert machine.run(timeout=20) == 0
        assert machine.outcome is not None
        assert machine.outcome.kind == ("reset" if end == "reset-hvc" else "powered off")
        assert machine.console.output == b"D" + version + b"k"


def test_the_user_chooses_the_gic(image: Path) -> None:
    image.write_bytes(build("arm64-image", programs.arm64("arm64-linked", "off-hvc")))
    with Machine(image, backend="unicorn", board="gic=2", stdin=b"k") as machine:
        assert machine.run(timeout=20) == 0
        assert machine.console.output == b"D2k"
        assert machine.title.endswith("arm64 board (gic=2)")
