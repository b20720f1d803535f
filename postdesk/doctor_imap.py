"""Can each mailbox be fetched from, and is it? One finding for each `[[imap]]`.

Takes: a `Desk`.  Gives: findings.  Fails: never; what a check runs into is its finding.
"""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.imap.folder import Account, Selected
    from ingest.imap.wire import Imap
    from models.inbound.fetching import Polled
    from postdesk.doctor import Finding
    from postdesk.wiring import Desk

LATE = timedelta(minutes=15)  # IDLE ends every 5 minutes, a pause after a fault is as long


def look(desk: "Desk") -> Iterator["Finding"]:
    """Sign in to each mailbox, look into its folder, and compare with what was fetched. Changes nothing there."""
    from postdesk.doctor import OK, Finding

    if not desk.settings.imap:
        yield Finding(check="imap", verdict=OK, seen="no mailbox is fetched from")
    for account in desk.accounts():
        yield _one(desk, account)


def _one(desk: "Desk", account: "Account") -> "Finding":
    from ingest.imap.folder import open_folder
    from ingest.imap.wire import Refused, connect
    from models.db.engine import reading
    from models.inbound.fetching import find_polled
    from postdesk.doctor import FAIL, Finding

    with reading(desk.engine) as session:
        polled = find_polled(session, account.name)
    try:
        client = connect(account.server, Event())
    except Refused as refusal:
        return Finding(check="imap", verdict=FAIL, seen=f"{account.name}: {refusal}", repair="mend that [[imap]]")
    except Exception as error:
        seen = f"{account.name}: {type(error).__name__}: {error}"
        return Finding(check="imap", verdict=FAIL, seen=seen, repair="mend host, port or tls, or the way to it")
    try:
        return _folder(desk, account, polled, client, open_folder(client, account))
    except Refused as refusal:
        return Finding(check="imap", verdict=FAIL, seen=f"{account.name}: {refusal}", repair="mend that [[imap]]")
    except Exception as error:
        seen = f"{account.name}: {type(error).__name__}: {error}"
        return Finding(check="imap", verdict=FAIL, seen=seen, repair="try again; else ask the provider")
    finally:
        client.close()


def _folder(
    desk: "Desk", account: "Account", polled: "Polled | None", client: "Imap", selected: "Selected"
) -> "Finding":
    from ingest.imap.folder import new_uids
    from postdesk.doctor import OK, WARN, Finding

    idle = "IDLE" if client.has_capability("IDLE") else "no IDLE: asked each minute"  # type: ignore[no-untyped-call]
    seen = f"{account.name}: login, folder, {idle}, {selected.exists} mails there"

    def warn(what: str, repair: str) -> "Finding":
        return Finding(check="imap", verdict=WARN, seen=f"{seen}; {what}", repair=repair)

    last = polled.last_uid if polled and polled.uidvalidity == selected.uidvalidity else 0
    waiting = new_uids(client, account, last)
    if polled is None or polled.looked_at is None:
        return warn(f"never fetched, {len(waiting)} wait", "postdesk run, with the role fetch; or work --until-idle")
    age = desk.now() - polled.looked_at
    if polled.uidvalidity not in (None, selected.uidvalidity):
        return warn(
            f"UIDVALIDITY is {selected.uidvalidity} now and was {polled.uidvalidity}",
            "nothing: all mails are looked at again, and known ones are noted as duplicates",
        )
    if selected.uidnext is not None and selected.uidnext <= last:
        return warn(f"its UIDs went back to {selected.uidnext}, below {last}", "nothing: all are looked at again")
    if age > LATE:
        told = f" ({polled.fault})" if polled.fault else ""
        return warn(
            f"last looked at {int(age.total_seconds() // 60)} minutes ago{told}, {len(waiting)} wait",
            "is the role fetch alive? its log has `imap-fault`",
        )
    if polled.fault:
        return warn(f"the last try failed: {polled.fault}", "mend that [[imap]]; it is tried again by itself")
    fetched = f"newest fetched UID {last}, {len(waiting)} wait, looked at {int(age.total_seconds())} s ago"
    return Finding(check="imap", verdict=OK, seen=f"{seen}; {fetched}")
