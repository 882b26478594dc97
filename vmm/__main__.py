"""``python -m vmm`` is the command `vmm`."""

from __future__ import annotations

import atexit
import os

from vmm.cli import flush, main

status = main()
# All machines are closed by now. Leaving without the interpreter's teardown saves a tenth of the
# whole time of a short run.
atexit._run_exitfuncs()
flush()
os._exit(status)
