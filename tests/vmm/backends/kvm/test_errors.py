from __future__ import annotations

import errno

import pytest

from vmm.arch import host_arch
from vmm.backends.kvm import abi, abi_arm64, abi_x86_64
from vmm.backends.kvm.errors import KvmError, raise_unopened, request_name
from vmm.errors import BackendUnavailable

if host_arch() is None:
    pytest.skip("needs an x86_64 or arm64 host", allow_module_level=True)

from vmm.backends.kvm.descriptor import (
    DeviceDescriptor,
    SystemDescriptor,
    VcpuDescriptor,
    VmDescriptor,
)

# Requests are the numbers of type 0xAE.
REQUESTS = {
    name: number
    for module in (abi, abi_x86_64, abi_arm64)
    for name, number in vars(module).items()
    if name.startswith("KVM_") and number >> 8 & 0xFF == abi.KVMIO and number <= 0xFFFF_FFFF
}


def test_all_requests_have_been_found() -> None:
    assert {"KVM_RUN", "KVM_SET_SREGS", "KVM_SET_DEVICE_ATTR"} <= set(REQUESTS)
    assert "KVM_CAP_MAX_VCPUS" not in REQUESTS
    assert len(set(REQUESTS.values())) == len(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    "holder", [SystemDescriptor, VmDescriptor, VcpuDescriptor, DeviceDescriptor]
)
def test_every_request_on_a_closed_descriptor_says_so(name: str, holder: type) -> None:
    descriptor = holder(-1)
    with pytest.raises(KvmError) as caught:
        descriptor.call(REQUESTS[name], "something")
    assert caught.value.request == name
    assert caught.value.errno == errno.EBADF
    assert str(caught.value) == (
        f"{name} (something) failed: EBADF, Bad file descriptor: it has been closed; make a new one"
    )


def test_an_unknown_request_is_called_by_its_number() -> None:
    assert request_name(0xAEFF) == "ioctl 0xaeff"


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.EACCES, "usermod -aG kvm"),
        (errno.ENOENT, "modprobe"),
        (errno.ENODEV, "firmware"),
        (errno.EPERM, "--device /dev/kvm"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EINTR, "vmm doctor"),
    ],
)
def test_each_reason_for_not_opening_has_its_next_step(number: int, step: str) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        raise_unopened("/dev/kvm", OSError(number, ""))
    message = str(caught.value)
    assert "/dev/kvm" in message
    assert errno.errorcode[number] in message
    assert step in message
    assert "\n" not in message
