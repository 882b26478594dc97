"""The hook of hatchling: generates what a wheel, editable or not, ships besides its sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateHook(BuildHookInterface[BuilderConfig]):
    """Runs scripts/generate.py; a generator that is missing or fails ends the build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before the files of the wheel are collected."""
        script = Path(self.root, "scripts", "generate.py")
        result = subprocess.run([sys.executable, str(script)], check=False)
        if result.returncode != 0:
            raise SystemExit("the wheel is not built: its generated files are incomplete")
