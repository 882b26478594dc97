"""Leaves out what takes minutes on a KVM whose ring 0 is emulated; the lab's KVM runs it."""

from __future__ import annotations

from functools import cache

import pytest

from vmm.backends.kvm.hypervisor import open_kvm
from vmm.backends.kvm.selftest import examine


@cache
def _verdict() -> tuple[bool, str]:
    kvm = open_kvm()
    try:
        verdict = examine(kvm)
    finally:
        kvm.close()
    return verdict.healthy, verdict.explanation


def need_sound_kvm() -> None:
    """Skip the test unless this host's KVM passes the self-test."""
    healthy, explanation = _verdict()
    if not healthy:
        pytest.skip(f"needs a sound KVM, or minutes: {explanation}")
