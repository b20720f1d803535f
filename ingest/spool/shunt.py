"""The shunt: spool files set aside, each with a note that says why.

*Takes* what the spool could not get delivered. *Gives* it back to the spool when a person says so.
"""

import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.spool.name import SpoolName, named
from ingest.spool.write import fsync_path
from values.mail import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Shunted:
    """A mail that was set aside, and why."""

    id: str
    reason: str  # a word: failed | worker-died | corrupt | …
    detail: str
    at: datetime
    path: Path
    attempts: int


class Shunt:
    """One folder of files and their notes, ID.reason.json."""

    def __init__(self, folder: Path, tmp: Path) -> None:
        self.folder = folder
        self.tmp = tmp

    def all(self) -> list[Shunted]:
        """All that was set aside, oldest first."""
        return [self._note(path, name) for path, name in named(self.folder)]

    def bring_back(self, mail_id: str, new: Path) -> bool:
        """Back to new/ with no failed attempt; False when there is no such mail."""
        for path, name in named(self.folder):
            if name.id == mail_id:
                path.rename(new / str(replace(name, attempts=0, after=0)))
                self._note_path(mail_id).unlink(missing_ok=True)
                return True
        return False

    def drop(self, mail_id: str) -> bool:
        """Delete for good; False when there is no such mail."""
        for path, name in named(self.folder):
            if name.id == mail_id:
                path.unlink(missing_ok=True)
                self._note_path(mail_id).unlink(missing_ok=True)
                return True
        return False

    def _note_path(self, mail_id: str) -> Path:
        return self.folder / f"{mail_id}.reason.json"

    def write_note(self, mail_id: str, reason: str, detail: str, attempts: int, envelope: Envelope | None) -> None:
        note: dict[str, Any] = {
            "id": mail_id,
            "reason": reason,
            "detail": detail[:2000],
            "attempts": attempts,
            "at": datetime.now(UTC).isoformat(),
            "reverse_path": envelope.reverse_path if envelope else None,
            "forward_paths": envelope.forward_paths if envelope else None,
        }
        tmp = self.tmp / f"{mail_id}.{secrets.token_hex(4)}.note"
        tmp.write_text(json.dumps(note, indent=1) + "\n", encoding="ascii")
        fsync_path(tmp)
        tmp.rename(self._note_path(mail_id))

    def _note(self, path: Path, name: SpoolName) -> Shunted:
        try:
            note = json.loads(self._note_path(name.id).read_text(encoding="ascii"))
            reason, detail, at = str(note["reason"]), str(note["detail"]), datetime.fromisoformat(note["at"])
        except (OSError, ValueError, KeyError, TypeError):
            reason, detail, at = "unknown", "its note is missing", datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Shunted(id=name.id, reason=reason, detail=detail, at=at, path=path, attempts=name.attempts)
