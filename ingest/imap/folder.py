"""One folder on an IMAP server: opened, asked what is new, tidied after a mail is ours. Talks to the server only.

Takes: a client that is logged in, an `Account`.  Gives: `Selected`, UIDs.
Fails: `Refused` where a person must mend something; else as the connection does.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from imapclient import DELETED, SEEN
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, IMAPClientReadOnlyError

from ingest.imap.wire import Imap, Refused, Server, is_temporary

FOLDERS_TOLD = 12  # names of folders in an answer to a wrong one
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class After(StrEnum):
    """What is done to a mail in its mailbox once it is ours."""

    LEAVE = "leave"
    SEEN = "seen"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One folder of one account to fetch from."""

    server: Server
    folder: str = "INBOX"
    after: After = After.LEAVE
    move_to: str = ""
    address: str  # forward-path of a mail whose header names none of ours
    since: date | None = None  # mail that came before that day is left alone

    @property
    def name(self) -> str:
        """What the mailbox is called in the database, the log and the held desk."""
        return f"{self.server.host}/{self.server.user}/{self.folder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    uidvalidity: int
    uidnext: int | None  # None: the server does not say
    exists: int


def open_folder(client: Imap, account: Account) -> Selected:
    """Select the folder; where nothing shall be changed in it, so that nothing can be (EXAMINE)."""
    try:
        said = client.select_folder(account.folder, readonly=account.after is After.LEAVE)  # type: ignore[no-untyped-call]
    except IMAPClientReadOnlyError:
        raise Refused(f'{account.folder} may only be read: write after = "leave"') from None
    except IMAPClientAbortError:
        raise
    except IMAPClientError as error:
        if is_temporary(str(error)):
            raise
        there = ", ".join(_folders(client)) or "none"
        raise Refused(f"there is no folder {account.folder} to read ({error}); the folders are: {there}") from None
    selected = _selected(said)
    if account.after is After.MOVE:
        _require_move(client, account)
    return selected


def _selected(said: dict[bytes, object]) -> Selected:
    numbers = {name: said.get(name) for name in (b"UIDVALIDITY", b"UIDNEXT", b"EXISTS")}
    uidvalidity, uidnext, exists = (value if isinstance(value, int) else None for value in numbers.values())
    if not uidvalidity or not 0 < uidvalidity < 1 << 32:
        # RFC 9051 §2.3.1.1: without it no UID means anything tomorrow.
        raise Refused("the server gives no UIDVALIDITY: this folder can't be fetched from")
    return Selected(uidvalidity=uidvalidity, uidnext=uidnext or None, exists=exists or 0)


def _folders(client: Imap) -> list[str]:
    return sorted(str(name)[:60] for _, _, name in client.list_folders())[:FOLDERS_TOLD]  # type: ignore[no-untyped-call]


def _require_move(client: Imap, account: Account) -> None:
    if not (client.has_capability("MOVE") or client.has_capability("UIDPLUS")):  # type: ignore[no-untyped-call]
        raise Refused('the server moves no single mails (neither MOVE nor UIDPLUS): write after = "seen" or "leave"')
    if not client.folder_exists(account.move_to):  # type: ignore[no-untyped-call]
        there = ", ".join(_folders(client))
        raise Refused(f"there is no folder {account.move_to} to move to: make it; the folders are: {there}")


def new_uids(client: Imap, account: Account, last: int) -> list[int]:
    """The UIDs above `last`, rising. A range with * always holds the highest mail, however low its UID is."""
    since = account.since
    criteria = f"UID {last + 1}:*"
    criteria += f" SINCE {since.day}-{_MONTHS[since.month - 1]}-{since.year}" if since else ""
    return [uid for uid in client.find(criteria) if uid > last]


def put_away(client: Imap, account: Account, uid: int) -> None:
    """Mark or move one mail by its UID. Never a plain EXPUNGE, which removes what others have marked (RFC 4315)."""
    if account.after is After.SEEN:
        client.add_flags([uid], [SEEN], silent=True)  # type: ignore[no-untyped-call]
    elif account.after is After.MOVE:
        if client.has_capability("MOVE"):  # type: ignore[no-untyped-call]
            client.move([uid], account.move_to)  # RFC 6851
            return
        client.copy([uid], account.move_to)  # type: ignore[no-untyped-call]
        client.add_flags([uid], [DELETED], silent=True)  # type: ignore[no-untyped-call]
        client.uid_expunge([uid])
