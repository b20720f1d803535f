"""The one place that makes the working parts of a desk from its settings.

Takes: `Settings`.  Gives: `Desk`, whose parts are made at their first use, so that a command pays for what it needs.
Fails: SettingsError or PostdeskError, with what to write instead.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from postdesk.settings import Settings, SettingsError
from values.addresses import canonical_address

if TYPE_CHECKING:
    import ssl

    import sqlalchemy as sa
    from starlette.types import ASGIApp

    from ingest.imap.fetcher import Fetcher
    from ingest.imap.folder import Account
    from ingest.pipeline_parts import Authenticate, Pipeline
    from ingest.smtp.server import Limits, Listener
    from ingest.spool.spool import Spool
    from models.blobs.store import BlobStore
    from notify.dispatch import Dispatch
    from notify.mails import Letterhead
    from notify.signing import Sign
    from rules.policy import Policy
    from rules.tokens import Keys


class Desk:
    """One desk: its settings and the parts made from them."""

    def __init__(self, settings: Settings, config: Path) -> None:
        self.settings = settings
        self.config = config

    # -- where things are kept

    @cached_property
    def engine(self) -> "sa.Engine":
        import models.tables  # noqa: F401 (a command may need a single table; its foreign keys need them all)
        from models.db.engine import make_engine

        return make_engine(self.settings.database)

    @cached_property
    def spool(self) -> "Spool":
        from ingest.spool.spool import Spool

        return Spool(self.settings.spool)

    @cached_property
    def blobs(self) -> "BlobStore":
        from models.blobs.store import open_blobs

        return open_blobs(self.settings.blobs)

    # -- the clock

    def now(self) -> datetime:
        """The desk's time, UTC: the system's, moved on by what `postdesk tick` added in all."""
        from models.db.engine import reading
        from models.desk.value import clock_offset

        with reading(self.engine) as session:
            return datetime.now(UTC) + clock_offset(session)

    def move_clock(self, step: timedelta) -> None:
        """Move the desk's time on for good."""
        from models.db.engine import transaction
        from models.desk.value import move_clock

        with transaction(self.engine) as session:
            move_clock(session, step)

    # -- what the rules obey

    @cached_property
    def keys(self) -> "Keys":
        from postdesk.desk_folder import read_keys

        return read_keys(self.settings.keys)

    @cached_property
    def policy(self) -> "Policy":
        return policy_of(self.settings)

    # -- the schema

    def migrate(self) -> bool:
        """Bring the schema to that of this version; False where it was that already."""
        from models.db.schema import is_current, migrate

        if self.settings.database.startswith("sqlite:///"):
            Path(self.settings.database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        if is_current(self.engine):
            return False
        migrate(self.engine)
        return True

    def require_ready(self) -> None:
        """Raises SettingsError where the desk can't work: an old schema, missing keys."""
        from models.db.schema import is_current

        if not is_current(self.engine):
            raise SettingsError("the database has not the schema of this version; run `postdesk migrate` first")
        _ = self.keys

    # -- the ways in

    def listeners(self) -> "list[Listener]":
        """Every listener of the settings."""
        from ingest.smtp.server import Listener

        tls = self._tls()
        kinds: tuple[tuple[Literal["smtp", "smtps", "lmtp"], Sequence[str]], ...] = (
            ("smtp", self.settings.listen_smtp),
            ("smtps", self.settings.listen_smtps),
            ("lmtp", self.settings.listen_lmtp),
        )
        return [
            Listener(host=host, port=port, kind=kind, tls=tls)
            for kind, texts in kinds
            for host, port in map(host_and_port, texts)
        ]

    def _tls(self) -> "ssl.SSLContext | None":
        if self.settings.tls_certificate is None:
            return None
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.settings.tls_certificate, self.settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"tls_certificate {self.settings.tls_certificate}: can't be used: {error}") from None
        return context

    def limits(self) -> "Limits":
        """As many connections as this process has descriptors for, where that is fewer than the standard."""
        import resource

        from ingest.smtp.gate import most_connections
        from ingest.smtp.server import Limits

        most = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0], Limits().connections)
        return Limits(
            size=self.settings.max_message_size,
            connections=most,
            connections_per_address=min(self.settings.connections_per_address, max(1, most // 2)),
        )

    def accepts(self, address: str) -> bool:
        """Is it an address of ours, its tag after the + aside? Never asks the database."""
        known = canonical_address(address)
        return known is not None and self.policy.is_own(known)

    # -- the pipeline

    def pipeline(self) -> "Pipeline":
        """The stages of one worker process; made after a fork, so that no connection is shared."""
        from ingest.pipeline_parts import Pipeline

        return Pipeline(
            spool=self.spool,
            engine=self.engine,
            blobs=self.blobs,
            policy=self.policy,
            keys=self.keys,
            now=self.now,
            authenticate=self._authenticator(),
            cpu_seconds=self.settings.mail_cpu_seconds,
            wall_seconds=self.settings.mail_wall_seconds,
        )

    def _authenticator(self) -> "Authenticate | None":
        if not self.settings.authentication:
            return None
        from ingest.auth.resolver import DnsResolver
        from ingest.auth.results import Border
        from ingest.auth.sender import authenticate
        from ingest.mime.parse import FileOctets
        from values.mail import AuthEvidence, Mailbox, SpooledMail

        settings, resolver = self.settings, DnsResolver(self.settings.nameservers)
        border = (
            Border(authserv_id=settings.border_authserv_id, own_hosts=settings.border_hosts)
            if settings.border_authserv_id
            else None
        )

        def check(spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
            with spooled.path.open("rb") as file:
                return authenticate(
                    FileOctets(file, spooled.offset, spooled.size),
                    spooled.envelope,
                    author.address.rpartition("@")[2],
                    resolver,
                    sealers=settings.arc_sealers,
                    border=border if spooled.envelope.source in settings.border_ways else None,
                    now=datetime.now(UTC),
                )

        return check

    # -- the mailboxes that mail is fetched from

    def accounts(self) -> "tuple[Account, ...]":
        """Every `[[imap]]` of the settings."""
        from postdesk.wiring_imap import account

        return tuple(account(each, self.settings.support_address) for each in self.settings.imap)

    def fetcher(self, worker: str) -> "Fetcher":
        """What fetching works with; made after a fork."""
        from ingest.imap.fetcher import Fetcher

        return Fetcher(desk=self.pipeline(), largest=self.settings.max_message_size, worker=worker)

    # -- the portal

    @property
    def portal_url(self) -> str:
        """Where people reach the portal, without a slash at its end; empty where there is none."""
        settings = self.settings
        return settings.portal_url or (f"http://{settings.http_listen}" if settings.http_listen else "")

    def portal(self) -> "ASGIApp":
        """The pages, as an ASGI application; made after a fork."""
        from portal.app import make_app
        from portal.parts import Parts

        return make_app(
            Parts(
                engine=self.engine,
                policy=self.policy,
                keys=self.keys,
                now=self.now,
                url=self.portal_url,
                blobs=self.blobs,
                templates=self.settings.templates,
            )
        )

    # -- the way out

    def letterhead(self) -> "Letterhead":
        """What all mails share."""
        from notify.mails import Letterhead

        url = self.portal_url
        return Letterhead(
            policy=self.policy, keys=self.keys, portal_url=url, access_url=f"{url}/request-access" if url else None
        )

    def dispatch(self) -> "Dispatch":
        """What a dispatcher needs; its smarthost serves one thread."""
        from notify.dispatch import Dispatch
        from notify.render import Renderer
        from notify.smarthost import open_smarthost

        return Dispatch(
            engine=self.engine,
            smarthost=open_smarthost(self.settings.smarthost, hostname=self.settings.hostname, sign=self._signer()),
            letterhead=self.letterhead(),
            renderer=Renderer(self.settings.templates),
            blobs=self.blobs,
            now=self.now,
        )

    def _signer(self) -> "Sign | None":
        if self.settings.dkim_key is None:
            return None
        from notify.signing import signer

        try:
            key = self.settings.dkim_key.read_bytes()
        except OSError as error:
            raise SettingsError(f"dkim_key {self.settings.dkim_key}: can't be read: {error.strerror}") from None
        return signer(self.settings.dkim_domain, self.settings.dkim_selector, key)


def policy_of(settings: Settings) -> "Policy":
    """The policy that the settings say."""
    from rules.policy import OwnMailbox, Policy
    from values.vocabulary import MailboxPurpose

    addresses = {
        MailboxPurpose.SUPPORT: settings.support_address,
        MailboxPurpose.ACCESS: settings.access_address,
        MailboxPurpose.LICENCE: settings.licence_address,
    }
    return Policy(
        mailboxes=tuple(OwnMailbox(address=address, purpose=purpose) for purpose, address in addresses.items()),
        return_path=settings.return_address,
        desk_domain=settings.vendor_domain,
        vendor_name=settings.vendor_name,
        subject_prefix=settings.subject_prefix,
        language=settings.language,
        languages=settings.languages,
        zone=settings.zone,
        authentication=settings.authentication,
        agent_by_mail=settings.agent_by_mail,
        held_unknown=timedelta(days=settings.held_days),
        held_others=timedelta(days=settings.held_other_days),
    )


def host_and_port(text: str) -> tuple[str, int]:
    """127.0.0.1:2525 or [::1]:2525 in parts."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
