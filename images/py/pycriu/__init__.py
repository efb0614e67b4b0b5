# SPDX-License-Identifier: GPL-2.0-only
"""Images of checkpoints, from Python."""
from . import images

__all__ = ["images"]
