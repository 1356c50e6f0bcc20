"""``python -m training <command>``."""

from __future__ import annotations

import sys

from training.command.train import main

sys.exit(main())
