"""A page written into a file: whole or not at all, and over nothing but a page of the same kind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["require_ours", "write_whole"]

_LOOKED_AT = 4096


def write_whole(path: Path, text: str, generator: str, *, force: bool = False) -> None:
    """
    Write *text*; a reader sees the old file or the new one, and a failure leaves the old one.

    Raises:
        ConfigurationError: Something else is there, or it cannot be written; nothing was changed.
    """
    require_ours(path, generator, force=force)
    # What a link leads to is replaced, and not the link.
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(beside, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        finally:
            with suppress(FileNotFoundError):
                beside.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written.\n  {error.strerror or error}; what was there is as it was\n"
            "Name another file: --output report.html"
        ) from error


def require_ours(path: Path, generator: str, *, force: bool = False) -> None:
    """
    Refuse a path at which something else is than an earlier page of the same kind.

    Raises:
        ConfigurationError: It says what is there.
    """
    if path.is_dir():
        raise ConfigurationError(
            f"{path} is a folder, so nothing was written.\n  a file is to be written\n"
            f"Name one in it: --output {path / 'report.html'}"
        )
    if force or not path.exists():
        return
    try:
        with open(path, "rb") as file:
            head = file.read(_LOOKED_AT)
    except OSError as error:
        raise ConfigurationError(
            f"{path} is there and cannot be read, so nothing was written.\n  {error.strerror or error}\n"
            "Name another file, or have it replaced: --force"
        ) from error
    if f'<meta name="generator" content="{generator}">'.encode() not in head:
        raise ConfigurationError(
            f"{path} is there and is no page of {generator}, so nothing was written.\n"
            f"  it begins with {head[:40].decode(errors='replace').strip()!r}\n"
            "Name another file, or have it replaced: --force"
        )
