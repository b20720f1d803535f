"""May anybody but the desk's own user read what it keeps: people's mail, passwords, keys?

Takes: a `Desk`.  Gives: one finding that names each file and folder with its mode, and the chmod that mends it.
Fails: never.
"""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from postdesk.doctor import FAIL, OK, WARN, Finding

if TYPE_CHECKING:
    from postdesk.wiring import Desk

OTHERS, GROUP = 0o007, 0o070


def look(desk: "Desk") -> Finding:
    """Others never; a group is a warning, since a person may have meant it (a user that takes backups)."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in _kept(desk) if path.exists()}
    open_ = {path: mode for path, mode in modes.items() if mode & (OTHERS | GROUP)}
    if not open_:
        return Finding(check="privacy", verdict=OK, seen=f"only its user may read the desk ({len(modes)} places)")
    to_others = any(mode & OTHERS for mode in open_.values())
    seen = ", ".join(f"{path} ({mode:04o})" for path, mode in open_.items())
    return Finding(
        check="privacy",
        verdict=FAIL if to_others else WARN,
        seen=f"open to {'others' if to_others else 'a group'}: {seen}",
        repair=f"chmod go= {shlex.join(map(str, open_))}{'' if to_others else '; leave what that group shall read'}",
    )


def _kept(desk: "Desk") -> Iterator[Path]:
    settings = desk.settings
    yield from (desk.config.parent, desk.config, settings.keys, settings.spool)
    yield from (key for key in (settings.dkim_key, settings.tls_key) if key is not None)
    yield from (each.password_file for each in settings.imap if each.password_file is not None)
    if settings.database.startswith("sqlite:///"):
        database = settings.database.removeprefix("sqlite:///")
        yield from (Path(f"{database}{end}") for end in ("", "-wal", "-shm"))
    if (blobs := urlsplit(settings.blobs)).scheme == "file":
        yield Path(unquote(blobs.path))
    if settings.smarthost.startswith("maildir:"):
        yield Path(settings.smarthost.removeprefix("maildir:"))
