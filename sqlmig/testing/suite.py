"""
The ready-made tests: `from sqlmig.testing.suite import *` in a test file, or `pytest --sqlmig`.

Each is there once for every version, which is in its id: `test_up_down_up[007]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ..errors import ConfigurationError, DatabaseUnavailable
from .faults import Fault, NotTried

if TYPE_CHECKING:
    from .checks import Checks

__all__ = [
    "test_gives_rows_back",
    "test_keeps_rows",
    "test_models_agree",
    "test_sequence_is_valid",
    "test_unchanged_since_base",
    "test_up_down_up",
]


def _tell(check: Callable[..., None], *arguments: int) -> None:
    """A fault, or what has to be mended outside, as a failure that is its message; what was not tried as a skip."""
    wrong = reason = None
    try:
        check(*arguments)
    except (Fault, ConfigurationError, DatabaseUnavailable) as error:
        wrong = str(error)
    except NotTried as error:
        reason = str(error)
    # Not where they are handled, or what they came from would be shown again.
    if wrong is not None:
        pytest.fail(wrong, pytrace=False)
    if reason is not None:
        pytest.skip(reason)


def test_sequence_is_valid(sqlmig_checks: Checks, sqlmig_version: int) -> None:
    """The file can be run where it stands."""
    _tell(sqlmig_checks.sequence_is_valid, sqlmig_version)


def test_up_down_up(sqlmig_checks: Checks, sqlmig_version: int) -> None:
    """It goes up, down and up again, and the schema is as it was."""
    _tell(sqlmig_checks.up_down_up, sqlmig_version)


def test_keeps_rows(sqlmig_checks: Checks, sqlmig_version: int) -> None:
    """It works on a database with rows, and loses none."""
    _tell(sqlmig_checks.keeps_rows, sqlmig_version)


def test_gives_rows_back(sqlmig_checks: Checks, sqlmig_version: int) -> None:
    """Rolled back, it leaves what was there before it."""
    _tell(sqlmig_checks.gives_rows_back, sqlmig_version)


def test_models_agree(sqlmig_checks: Checks, sqlmig_newest: int) -> None:
    """The migrations make what the models say."""
    _tell(sqlmig_checks.models_agree)


def test_unchanged_since_base(sqlmig_checks: Checks, sqlmig_version: int) -> None:
    """The file is as the base branch has it, or new and above all that it has."""
    _tell(sqlmig_checks.unchanged_since_base, sqlmig_version)
