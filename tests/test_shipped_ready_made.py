"""The ready-made tests, on the document library in `migrations/versions`."""

from __future__ import annotations

from sqlmig.testing.suite import *  # noqa: F403
