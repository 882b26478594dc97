"""Wrong usage of `scripts/kvm-lab`; what it does when used well is seen by running tests in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KVM_LAB = Path(__file__).resolve().parents[2] / "scripts/kvm-lab"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["build", "riscv64"], "unknown architecture: riscv64"),
        (["run", "riscv64", "true"], "invalid choice: 'riscv64'"),
        (["run", "amd64"], "which command?"),
        (["run", "--gic", "4", "arm64", "true"], "invalid choice: 4"),
        (["run", "amd64", "--log", "x", "true"], "options stand before the architecture: --log"),
    ],
)
def test_wrong_usage_is_explained_and_builds_nothing(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, str(KVM_LAB), *arguments],
        env={"CALYPSO_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
