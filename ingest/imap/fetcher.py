"""Mail fetched from mailboxes that lie elsewhere (RFC 9051, RFC 3501): a thread each, one fetcher each on all machines.

Takes: `Account`s and what a fetcher works with.  Gives: mails in the spool; a held row for each that can't be had.
Fails: never. What goes wrong is logged and kept for `doctor`, and the mailbox is tried again after a pause.

    lease ─► connect ─► fetch a mail ─► spool, durable ─► \\Seen or MOVE, where wished ─► cursor ─► the next … IDLE

The cursor (UIDVALIDITY, UID) is what we know; flags say nothing, for people read these mailboxes too. Killed before the
cursor moves, we fetch the mail again, under the id that it had. Another UIDVALIDITY gives all UIDs a new meaning: all
mails are looked at again, and the ledger knows the copies by their content.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import structlog
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError
from structlog.contextvars import bound_contextvars

from ingest.imap.folder import Account, new_uids, open_folder, put_away
from ingest.imap.mail import Brought, Outcome, Place, SpoolFault, bring, envelope_of, hold_beginning, hold_unfetched
from ingest.imap.wire import Imap, Refused, Stopped, connect
from ingest.pipeline_parts import Pipeline
from models.db.engine import reading, retrying, transaction
from models.db.failpoint import failpoint
from models.inbound.fetching import Loan, advance, extend, find_last_uid, give_back, lend, mark_looked

IDLE_SECONDS = 290.0  # RFC 2177 asks for less than 29 minutes; routers on the way forget quiet connections sooner
POLL_SECONDS = 60.0  # between two looks where the server has no IDLE
ALIVE_SECONDS = 8.0  # between two words that the lease is still ours
BREATH = 0.5  # seconds between two looks at a server that always has something to say
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0  # seconds; doubled at each fault in a row
REFUSED_PAUSE = 300.0  # seconds: more tries with a wrong password would lock the account (fault F28)
LENT_PAUSE = 3.0  # seconds before the lease of a mailbox that another fetcher has is asked for again
PROVED = 60.0  # seconds that a session was well, after which faults are counted anew
REFUSALS, BREAKS = 3, 8  # how often a mail may be refused, or end its connection, until it is held as not fetched
FREE = 256 * 1024**2  # octets of disk that fetching leaves alone, besides room for two mails of the largest size

log = structlog.get_logger()


class LoanLost(Exception):
    """Another fetcher has the mailbox now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """What fetching works with; made by postdesk/wiring.py."""

    desk: Pipeline
    largest: int  # octets of the largest mail that is taken
    worker: str  # names this process among all that fetch, on any machine


def run(accounts: tuple[Account, ...], fetcher: Fetcher, stop: Event, *, patience: float = 5.0) -> None:
    """Fetch from every account until `stop` is set."""
    threads = [
        threading.Thread(target=follow, args=(account, fetcher, stop), daemon=True, name=account.name)
        for account in accounts
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(patience)  # one that waits for a server to connect ends with the process


def follow(account: Account, fetcher: Fetcher, stop: Event) -> None:
    """Fetch from one account until `stop` is set."""
    tries: Counter[int] = Counter()
    while not stop.is_set():
        try:
            if take_turn(account, fetcher, stop, tries) is None:
                stop.wait(LENT_PAUSE * random.uniform(0.8, 1.2))
        except Exception:  # the database is away: the mails wait where they are
            log.exception("imap-fault", mailbox=account.name)
            stop.wait(LENT_PAUSE)


def take_turn(
    account: Account, fetcher: Fetcher, stop: Event, tries: Counter[int], *, once: bool = False
) -> int | None:
    """Have the mailbox until something breaks, or (`once`) all that is there was fetched. Gives how many mails that
    were; None where the mailbox is lent to another, or shall not be polled yet. `tries`: what could not be fetched."""
    with transaction(fetcher.desk.engine) as session:
        loan = lend(session, account.name, fetcher.worker, fetcher.desk.now())
    if loan is None:
        return None
    polling = _Polling(account=account, fetcher=fetcher, loan=loan, stop=stop, tries=tries)
    with bound_contextvars(mailbox=account.name):
        pause, fault = polling.go(once)
        polling.end(pause, fault)
    return polling.fetched


@dataclass(slots=True, kw_only=True)
class _Polling:
    """A mailbox while it is ours."""

    account: Account
    fetcher: Fetcher
    loan: Loan
    stop: Event
    tries: Counter[int]  # UID → how often it could not be fetched
    fetched: int = 0
    uidvalidity: int = 0
    last: int = 0  # UID
    faults: int = 0  # in a row
    began: float = field(default_factory=time.monotonic)
    spoke: float = 0.0  # monotonic: when we last said that we are alive

    def go(self, once: bool) -> tuple[float, str]:
        """The seconds that the mailbox shall rest, and what was wrong ("": nothing)."""
        try:
            self._poll(once)
        except Stopped:
            self.faults = self.loan.faults
        except LoanLost:
            log.warning("imap-lease-lost")
        except Refused as refusal:
            return self._failed(REFUSED_PAUSE * random.uniform(1.0, 1.2), str(refusal))
        except Exception as error:  # RFC 9051 §5.4: a server may end the connection at any time
            proved = time.monotonic() - self.began > PROVED
            self.faults = 1 + (0 if proved else self.loan.faults)
            pause = min(FIRST_PAUSE * 2.0 ** min(self.faults - 1, 20), LONGEST_PAUSE)
            return self._failed(pause * random.uniform(0.5, 1.0), f"{type(error).__name__}: {error}")
        return 0.0, ""

    def _failed(self, pause: float, fault: str) -> tuple[float, str]:
        log.error("imap-fault", fault=fault[:300], tried_again_in=round(pause, 1))
        return pause, fault

    def end(self, pause: float, fault: str) -> None:
        """Give the mailbox back."""
        with transaction(self.fetcher.desk.engine) as session:
            now = self.fetcher.desk.now()
            due_at = now + timedelta(seconds=pause)
            give_back(session, self.loan, now, due_at=due_at, faults=self.faults, fault=fault)

    def _poll(self, once: bool) -> None:
        client = connect(self.account.server, self.stop, lambda text: log.warning("imap-alert", said=text))
        try:
            self._open(client)
            while True:
                for uid in new_uids(client, self.account, self.last):
                    self._fetch(client, uid)
                self._say(mark_looked)
                if once:
                    return
                self._wait(client)
        finally:
            client.close()

    def _open(self, client: Imap) -> None:
        selected = open_folder(client, self.account)
        with reading(self.fetcher.desk.engine) as session:
            last = find_last_uid(session, self.account.name, selected.uidvalidity)
        if last is None:
            log.info("imap-mailbox-new", uidvalidity=selected.uidvalidity, mails=selected.exists)
        elif selected.uidnext is not None and selected.uidnext <= last:
            # The server was restored from a backup: what comes from now on gets UIDs that we have seen.
            log.warning("imap-uids-went-back", uidnext=selected.uidnext, last=last)
            last = 0
        self.uidvalidity, self.last = selected.uidvalidity, last or 0

    def _wait(self, client: Imap) -> None:
        """Until the server says that something is new, or it is time to ask."""
        if self.stop.wait(BREATH):
            raise Stopped
        if client.has_capability("IDLE"):  # type: ignore[no-untyped-call]
            client.wire.idle(IDLE_SECONDS, self._alive, ALIVE_SECONDS)
        else:
            client.wire.wait(POLL_SECONDS, self._alive, ALIVE_SECONDS)
            client.noop()  # type: ignore[no-untyped-call]

    # -- one mail

    def _fetch(self, client: Imap, uid: int) -> None:
        place = Place(mailbox=self.account.name, uidvalidity=self.uidvalidity, uid=uid)
        broken: Exception | None = None
        try:
            brought = self._bring(client, place)
        except (Stopped, LoanLost, SpoolFault):
            raise
        except Exception as error:
            if not self._gives_up(uid, error):
                raise
            receipt = hold_unfetched(self.fetcher.desk, place, self.account.address, str(error)[:200])
            log.error("imap-not-fetched", uid=uid, mail=receipt.ledger_id, fault=str(error)[:200])
            broken = error
        else:
            broken = self._settle(client, place, brought)
        failpoint("imap.before-advance")
        self._say(lambda session, loan, now: advance(session, loan, self.uidvalidity, uid, now))
        self.last = uid
        self.tries.pop(uid, None)
        if broken is not None:
            raise broken

    def _bring(self, client: Imap, place: Place) -> Brought:
        fetcher, desk = self.fetcher, self.fetcher.desk
        if desk.spool.free_octets() < FREE + 2 * fetcher.largest:
            raise SpoolFault("there is too little room on the disk of the spool")
        return bring(
            client,
            place,
            desk.spool,
            lambda head: envelope_of(head, self.account.address, desk.policy),
            fetcher.largest,
            self._alive,
        )

    def _gives_up(self, uid: int, error: Exception) -> bool:
        """Has it been tried often enough? One mail must not keep the others away for ever."""
        self.tries[uid] += 1
        return self.tries[uid] >= (REFUSALS if _is_answer(error) else BREAKS)

    def _settle(self, client: Imap, place: Place, brought: Brought) -> Exception | None:
        """What follows from what was brought. Gives the fault that ended the connection meanwhile, if one did."""
        if brought.outcome is Outcome.GONE:
            log.warning("imap-gone", uid=place.uid)
            return None
        self.fetched += 1
        if brought.outcome is Outcome.TOO_LARGE:
            desk, largest = self.fetcher.desk, self.fetcher.largest
            hold_beginning(desk, brought, place, envelope_of(brought.head, self.account.address, desk.policy), largest)
            log.warning("imap-too-large", mail=brought.id, uid=place.uid, size=brought.size)
            return None
        log.info("fetched", mail=brought.id, uid=place.uid, size=brought.size)
        return self._put_away(client, place.uid)

    def _put_away(self, client: Imap, uid: int) -> Exception | None:
        """Where the server does not do it the mail stays as it is: it is ours all the same."""
        try:
            put_away(client, self.account, uid)
        except Stopped:
            raise
        except Exception as error:
            log.warning("imap-not-put-away", uid=uid, after=self.account.after.value, fault=str(error)[:200])
            return None if _is_answer(error) else error
        return None

    # -- the lease

    def _alive(self) -> None:
        if time.monotonic() - self.spoke > ALIVE_SECONDS - 1:
            self._say(extend)

    def _say(self, word: Callable[..., bool]) -> None:
        """Write under our lease; LoanLost where it is not ours any more."""
        self.spoke = time.monotonic()

        def write() -> bool:
            now = self.fetcher.desk.now()
            with transaction(self.fetcher.desk.engine) as session:
                return word(session, self.loan, now)

        if not retrying(write, patience=10.0):
            raise LoanLost


def _is_answer(error: Exception) -> bool:
    """The server answered, and said no; the connection goes on."""
    return isinstance(error, IMAPClientError) and not isinstance(error, IMAPClientAbortError)
