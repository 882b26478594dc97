"""The verbs besides `vmm run`, through click as the command line goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vmm
from tests.vmm.machine.kernels import SPIN, write_kernel
from vmm.arch import ARCHITECTURES, host_arch
from vmm.cli import main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert vmm.__version__ in capsys.readouterr().out


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in ("run", "inspect", "doctor", "devices", "device", "trace", "completion"):
        assert f"  {verb}" in printed


def test_doctor_chooses_a_backend_for_each_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["host"]["architecture"] == host_arch()
    for arch in ARCHITECTURES:
        report = facts["backends"][arch]
        assert report["choice"] in ("kvm", "unicorn")
        assert report["reason"]
    assert facts["guest"]["missing"] == []
    assert main(["doctor"]) == 0
    assert "arm64 guests: " in capsys.readouterr().out


def test_inspect_says_the_same_to_people_and_programs(
    tmp_path: Path, arch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_kernel(tmp_path / "kernel.elf", arch, [], SPIN[arch]))
    assert main(["inspect", "--json", path]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "calypso-kernel"
    assert facts["architecture"] == arch
    assert main(["inspect", path]) == 0
    printed = capsys.readouterr().out
    assert f"{facts['entry']:#x}" in printed
    assert "R-X" in printed


def test_reference_page_shows_registers_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert "Ns16550" in capsys.readouterr().out
    assert main(["device", "ns16550"]) == 0
    page = capsys.readouterr().out
    assert "| 0x5 | LSR | 8 | RO | 0x60 | Line Status |" in page
    assert "ETBEI" in page


def test_reference_page_of_a_virtio_device_shows_queues_and_features(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["devices"]) == 0
    assert "VsockDevice" in capsys.readouterr().out
    assert main(["device", "block"]) == 0
    page = capsys.readouterr().out
    assert "Virtio device 2" in page
    assert "| 0 | 256 |" in page
    assert "| 13 | DISCARD |" in page
    assert "| 29 | EVENT_IDX |" in page


def test_unknown_device_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "flux-capacitor"]) == 2
    assert "'vmm devices' lists them" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_for_this_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    assert "_VMM_COMPLETE" in capsys.readouterr().out


def test_the_shell_completes_names_of_devices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_VMM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "vmm device pl")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == ["plain,Pl011", "plain,Pl031"]
