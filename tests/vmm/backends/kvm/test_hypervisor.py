from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.descriptors import open_descriptors
from vmm.arch import ARM64, X86_64, host_arch
from vmm.backends.kvm import abi, hypervisor
from vmm.backends.kvm.hypervisor import Kvm, open_kvm, process_kvm
from vmm.errors import BackendUnavailable
from vmm.memory import Gpa, GuestMemory

needs_bindings = pytest.mark.skipif(host_arch() is None, reason="needs an x86_64 or arm64 host")


@needs_bindings
def test_a_missing_device_says_what_to_load(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"ENOENT.*modprobe kvm_intel.*--backend unicorn"):
        open_kvm(str(tmp_path / "kvm"))


@needs_bindings
@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root")
def test_a_forbidden_device_says_which_group(tmp_path: Path) -> None:
    path = tmp_path / "kvm"
    path.touch(0o000)
    with pytest.raises(BackendUnavailable, match=r"EACCES.*usermod -aG kvm"):
        open_kvm(str(path))


@needs_bindings
@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_what_is_not_kvm_is_told_and_closed(path: str) -> None:
    before = open_descriptors()
    if not os.access(path, os.W_OK):
        pytest.skip(f"needs {path} to be writable")
    with pytest.raises(BackendUnavailable, match=r"KVM_GET_API_VERSION \(is this KVM\?\).*ENOTTY"):
        open_kvm(path)
    assert open_descriptors() == before


def test_a_foreign_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisor, "host_arch", lambda: None)
    with pytest.raises(BackendUnavailable, match=r"x86_64 and arm64 hosts.*--backend unicorn"):
        open_kvm()


@pytest.mark.kvm
def test_guests_of_another_architecture_are_refused() -> None:
    foreign = ARM64 if host_arch() == X86_64 else X86_64
    kvm = open_kvm()
    with (
        GuestMemory([(0, 0x1000)]) as memory,
        pytest.raises(BackendUnavailable, match=f"the guest is {foreign}: run with --backend"),
    ):
        kvm.create_vm(foreign, memory)
    kvm.close()


@pytest.mark.kvm
def test_opening_and_closing_leaves_nothing() -> None:
    open_kvm().close()
    before = open_descriptors()
    kvm = open_kvm()
    assert kvm.name == "kvm"
    assert kvm.run_size >= 4096
    kvm.close()
    kvm.close()
    assert open_descriptors() == before


@pytest.mark.kvm
def test_all_machines_of_a_process_share_what_stays_open() -> None:
    kvm = process_kvm()
    kvm.close()
    assert process_kvm() is kvm
    assert kvm.capability(abi.KVM_CAP_IMMEDIATE_EXIT)
    with GuestMemory([(Gpa(0), 0x1000)]) as memory:
        arch = host_arch()
        assert arch is not None
        kvm.create_vm(arch, memory).close()


@pytest.mark.kvm
def test_threads_that_open_kvm_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisor, "_shared", {})
    before = len(open_descriptors())
    with ThreadPoolExecutor(8) as pool:
        opened = {*pool.map(lambda _: process_kvm(), range(8))}
    assert len(opened) == 1
    assert len(open_descriptors()) == before + 1
    Kvm.close(opened.pop())
