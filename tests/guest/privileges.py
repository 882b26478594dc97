"""Rights that tests need."""

from __future__ import annotations

import os

import pytest

needs_chroot = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may chroot")
