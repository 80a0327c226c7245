"""How much the tests try that could try for ever: SQLMIG_TEST_EFFORT, of which `nox -s thorough` gives them more."""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("SQLMIG_TEST_EFFORT", "1"))
