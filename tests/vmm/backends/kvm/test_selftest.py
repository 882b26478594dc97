from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmm.arch import ARM64, X86_64, host_arch
from vmm.backends.kvm import selftest
from vmm.backends.kvm.hypervisor import Kvm, open_kvm

SOUND = {X86_64: (1, 1, 1), ARM64: (1, 1)}

if host_arch() is None:
    pytest.skip("needs an x86_64 or arm64 host", allow_module_level=True)


@pytest.fixture
def kvm() -> Iterator[Kvm]:
    kvm = open_kvm()
    yield kvm
    kvm.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "calypso" / "kvm-selftest"


def test_a_sound_kvm_passes() -> None:
    verdict = selftest.judge(SOUND[str(host_arch())])
    assert verdict.healthy
    assert verdict.explanation == "KVM passes its self-test"
    assert all(holds for _, holds in verdict.properties)


@pytest.mark.skipif(host_arch() != X86_64, reason="needs an x86_64 host")
@pytest.mark.parametrize(
    ("findings", "complaint", "failing"),
    [
        ((700, 1, 1), "ring 0 is 700 times slower than ring 3", "ring 0 runs natively"),
        ((1, 0, 1), "no SSE in ring 0", "SSE in ring 0"),
        ((1, 1, 0), "SYSCALL does not enter ring 0", "SYSCALL enters ring 0"),
    ],
)
def test_each_failing_property_is_named(
    findings: tuple[int, ...], complaint: str, failing: str
) -> None:
    verdict = selftest.judge(findings)
    assert not verdict.healthy
    assert verdict.explanation == f"this host's KVM is unsound: {complaint}"
    assert [name for name, holds in verdict.properties if not holds] == [failing]


@pytest.mark.kvm
def test_the_probe_finds_the_same_each_time(kvm: Kvm) -> None:
    verdicts = [selftest.judge(selftest.probe(kvm)) for _ in range(5)]
    assert len({verdict.properties for verdict in verdicts}) == 1


@pytest.mark.kvm
@pytest.mark.skipif("CALYPSO_LAB" not in os.environ, reason="needs the KVM of the lab")
def test_the_kvm_of_the_lab_is_sound(kvm: Kvm) -> None:
    assert selftest.judge(selftest.probe(kvm)).healthy


@pytest.mark.kvm
def test_what_was_found_is_kept(kvm: Kvm, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = selftest.examine(kvm)
    assert cache.exists()
    monkeypatch.setattr(selftest, "probe", None)
    assert selftest.examine(kvm) == verdict


@pytest.mark.kvm
def test_a_kept_verdict_is_quick(kvm: Kvm) -> None:
    selftest.examine(kvm)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        selftest.examine(kvm)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.01


@pytest.mark.kvm
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\n",
        b"nonsense",
        b"KEY\n",
        b"KEY\n1 x 1\n",
        b"KEY\n\n",
        b"KEY\n1 1 1 1 1 1\n",
        b"KEY\n1 1\n1 1 1\n",
        b"an older boot\n1 1 1\n",
        b"KEY\n" + b"1 " * 5000,
    ],
)
def test_a_damaged_or_outdated_cache_is_not_believed(
    kvm: Kvm, cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    selftest.examine(kvm)
    key = cache.read_bytes().split(b"\n")[0]
    cache.write_bytes(content.replace(b"KEY", key))
    probed = []
    sound = SOUND[str(host_arch())]
    monkeypatch.setattr(selftest, "probe", lambda kvm: probed.append(kvm) or sound)
    assert selftest.examine(kvm) == selftest.judge(sound)
    assert probed == [kvm]
    # And it is whole again.
    assert selftest.examine(kvm) == selftest.judge(sound)
    assert probed == [kvm]


@pytest.mark.kvm
@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "relative"])
def test_a_cache_that_cannot_be_written_is_done_without(
    kvm: Kvm, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.chdir(tmp_path)
    assert selftest.examine(kvm).properties == selftest.examine(kvm).properties
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kvm
def test_a_probe_that_cannot_run_is_a_verdict_and_not_kept(kvm: Kvm, cache: Path) -> None:
    kvm.close()
    broken = open_kvm()
    broken.descriptor.close()
    verdict = selftest.examine(broken)
    assert not verdict.healthy
    assert "EBADF" in verdict.explanation
    assert not cache.exists()
