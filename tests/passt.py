"""Whether passt, which brings networks without privileges, can run here."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def need_passt() -> None:
    """Skip the test where passt is not installed, or cannot confine itself as it always does."""
    if shutil.which("passt") is None:
        pytest.skip("passt is not installed")
    probe = subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"passt needs a user namespace: {probe.stderr.decode().strip()}")
