"""Every setting of a desk: one frozen class, one field each, told wrong in one breath.

Takes: postdesk.toml and POSTDESK_* of the environment (which wins).  Gives: `Settings`, paths and URLs made absolute.
Fails: `SettingsError`, whose text names the file, the key, what is wrong and what to write instead.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from postdesk import settings_imap
from postdesk.settings_imap import ImapSettings
from values.errors import PostdeskError

ENV_PREFIX = "POSTDESK_"
CONFIG_NAME = "postdesk.toml"


class SettingsError(PostdeskError):
    """The configuration can't be used; the text says what to write instead."""


def _split(value: object) -> object:
    """A list may be one string with spaces, as it is in the environment."""
    return tuple(value.split()) if isinstance(value, str) else value


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("write HOST:PORT, as in 127.0.0.1:2525 or [::1]:2525")
    return value


def _host_and_port_or_none(value: str) -> str:
    return _host_and_port(value) if value else value


def _domain(value: str) -> str:
    domain = value.strip().rstrip(".").lower()
    if not re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", domain):
        raise ValueError("write a domain name, as in nordvik.test (an international one as its A-label)")
    return domain


def _address(value: str) -> str:
    local, _, domain = value.strip().rpartition("@")
    if not re.fullmatch(r"[a-z0-9.!#$%&'*/=?^_`{|}~-]{1,23}", local.lower()):
        # RFC 5321 §4.5.3.1.1: 64 octets must hold the name and a reply token.
        raise ValueError("write one plain address with 1 to 23 characters before the @, as in support@nordvik.test")
    return f"{local.lower()}@{_domain(domain)}"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("write a time zone of the tz database, as in Europe/Madrid or UTC") from None
    return value


def _database_url(value: str) -> str:
    if not re.match(r"(sqlite:///|postgresql(\+psycopg)?://).", value):
        raise ValueError("write sqlite:///postdesk.db or postgresql://user@host/name")
    return value


def _smarthost_url(value: str) -> str:
    if not re.match(r"((smtps?|smtp\+starttls)://[^/?\s]+/?(\?tls=off)?|maildir:.+)$", value):
        raise ValueError("write smtp://host:25, smtp://user:password@host:587, smtps://host:465 or maildir:FOLDER")
    return value


def _ways(value: tuple[str, ...]) -> tuple[str, ...]:
    if not {"imap", "lmtp", "smtp"}.issuperset(value):
        raise ValueError("write imap, lmtp, smtp, or some of them")
    return value


def _web_url(value: str) -> str:
    # Browsers keep cookies and Sec-Fetch-Site to https and to loopback: the portal is safe nowhere else.
    if value and not re.fullmatch(
        r"(https://[a-z0-9.:\[\]-]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)(/[A-Za-z0-9._~/-]*)?", value
    ):
        raise ValueError(
            "write https://desk.nordvik.test; http:// is for this machine only, as in http://localhost:8800"
        )
    return value.rstrip("/")


Listen = Annotated[str, AfterValidator(_host_and_port)]
Address = Annotated[str, AfterValidator(_address)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of one desk. Paths that are not absolute are below the folder of postdesk.toml."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    # the vendor and the addresses of the desk
    vendor_domain: Annotated[str, AfterValidator(_domain)] = Field(
        description="Domain of the desk's own addresses.", examples=["nordvik.test"]
    )
    vendor_name: str = Field("", description="Name in mails and on pages; empty: the vendor's domain.")
    support_address: Address = Field("", description="Mail here becomes tickets; empty: support@ that domain.")
    access_address: Address = Field("", description="Access is requested here; empty: access@ that domain.")
    licence_address: Address = Field("", description="Licences are requested here; empty: licence@ that domain.")
    return_address: Address = Field("", description="Bounces come back here; empty: bounce@ that domain.")
    subject_prefix: str = Field("PD", pattern="^[A-Za-z]{1,8}$", description="Mark in subjects: PD gives [PD-1042].")
    language: str = Field("en", pattern="^[a-z]{2}$", description="The vendor's language, where nothing else says one.")
    languages: Words = Field(("en", "es", "sv"), description="Languages that mails may leave in.")
    zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="The vendor's time zone.")

    # where things are kept
    database: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite:///postdesk.db", description="SQLAlchemy URL of the database: SQLite or PostgreSQL."
    )
    spool: Path = Field(Path("spool"), description="Folder of the mails that are taken but not yet decided.")
    blobs: str = Field("blobs", description="Folder or URL (file, s3) of the blob store: raw mails and attachments.")
    keys: Path = Field(Path("keys.toml"), description="File of the signing keys (mode 0600), made by `postdesk init`.")

    # the ways in
    listen_smtp: Annotated[tuple[Listen, ...], NoDecode, BeforeValidator(_split)] = Field(
        ("127.0.0.1:2525",), description="HOST:PORT of each SMTP listener (STARTTLS where a certificate is set)."
    )
    listen_smtps: Annotated[tuple[Listen, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="HOST:PORT of each listener that starts with TLS."
    )
    listen_lmtp: Annotated[tuple[Listen, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="HOST:PORT of each LMTP listener."
    )
    hostname: str = Field("", description="Name in the SMTP greeting; empty: the vendor's domain.")
    tls_certificate: Path | None = Field(None, description="Certificate chain (PEM) of the listeners.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    max_message_size: int = Field(
        25 * 1024 * 1024, ge=64 * 1024, le=1024**3, description="Octets of the largest mail that is taken."
    )
    connections_per_address: int = Field(50, ge=1, le=1000, description="SMTP connections of one client at a time.")
    http_listen: Annotated[str, AfterValidator(_host_and_port_or_none)] = Field(
        "127.0.0.1:8800", description="HOST:PORT of the portal, behind a proxy that speaks TLS; empty: no portal here."
    )
    http_proxies: Words = Field(
        ("127.0.0.1", "::1"), description="Addresses of proxies in front of the portal, whose X-Forwarded-For counts."
    )
    portal_url: Annotated[str, AfterValidator(_web_url)] = Field(
        "", description="Where people reach the portal, as it stands in mails; empty: http:// and http_listen."
    )

    # whom the desk believes
    authentication: bool = Field(
        True, description="Check SPF, DKIM and DMARC of each author; off: nobody is believed (a desk without DNS)."
    )
    nameservers: Words = Field(
        (),
        description="Addresses of the DNS servers to ask, as 127.0.0.1 or 127.0.0.1:5353; empty: the system's.",
    )
    arc_sealers: Words = Field((), description="Domains of forwarders and lists whose ARC seals are believed.")
    border_authserv_id: str = Field(
        "",
        description="Name in the Authentication-Results of the mail system in front of the desk; set it only where "
        "that system takes such fields out of what comes from outside.",
    )
    border_hosts: Words = Field(
        (), description="Hosts of that system whose Received fields may stand above its Authentication-Results."
    )
    border_ways: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_ways)] = Field(
        ("imap", "lmtp"), description="Ways in that lead through that system: imap, lmtp, smtp."
    )
    agent_by_mail: bool = Field(False, description="Believed agents may answer tickets from their own mail client.")
    held_days: int = Field(7, ge=1, le=365, description="Days that a held mail of an unknown author is kept.")
    held_other_days: int = Field(90, ge=1, le=3650, description="Days that any other held mail is kept.")

    # the way out
    smarthost: Annotated[str, AfterValidator(_smarthost_url)] = Field(
        "smtp://127.0.0.1:25",
        description="Where outgoing mail goes: smtp:// (with STARTTLS), smtps:// or maildir:FOLDER.",
    )
    dkim_selector: str = Field("", description="DKIM selector; empty: outgoing mail is not signed here.")
    dkim_key: Path | None = Field(None, description="DKIM private key (PEM).")
    dkim_domain: str = Field("", description="DKIM domain (d=); empty: the vendor's domain.")

    templates: Path | None = Field(None, description="Folder of templates that are used before the built-in ones.")

    # how much of the machine
    workers: int = Field(2, ge=1, le=64, description="Pipeline worker processes.")
    worker_memory: int = Field(
        512 * 1024**2, ge=256 * 1024**2, description="Octets of memory that one pipeline worker may use."
    )
    mail_cpu_seconds: float = Field(5.0, ge=0.1, le=300, description="CPU seconds that one mail may cost.")
    mail_wall_seconds: float = Field(60.0, ge=1, le=3600, description="Seconds that one mail may take in all.")
    poll_seconds: float = Field(0.2, ge=0.01, le=60, description="Seconds between two looks of an idle role.")

    # mailboxes elsewhere: last, for what stands below a table belongs to it
    imap: Annotated[tuple[ImapSettings, ...], NoDecode, BeforeValidator(settings_imap.read_tables)] = Field(
        (), description="Folders that mail is fetched from: tables of their own, see below."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # what stands in the file comes as init; the environment wins

    @model_validator(mode="before")
    @classmethod
    def _from_domain(cls, values: Any) -> Any:
        """Fill what follows from the vendor's domain."""
        domain = values.get("vendor_domain", "") if isinstance(values, dict) else ""
        if not isinstance(domain, str) or not domain:
            return values
        domain = domain.strip().rstrip(".").lower()
        follow = {"vendor_name": domain, "hostname": domain, "dkim_domain": domain}
        names = {"support": "support", "access": "access", "licence": "licence", "return": "bounce"}
        follow |= {f"{word}_address": f"{name}@{domain}" for word, name in names.items()}
        return {**values, **{key: text for key, text in follow.items() if not values.get(key)}}

    @model_validator(mode="after")
    def _together(self) -> Self:
        """What only makes sense with something else."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both or none")
        if any(address.endswith(":25") for address in self.listen_lmtp):
            # RFC 2033 §5: whoever connects to port 25 speaks SMTP
            raise ValueError("listen_lmtp: LMTP is not for port 25; write another port, as in 127.0.0.1:24")
        if self.listen_smtps and not self.tls_certificate:
            raise ValueError("listen_smtps needs tls_certificate and tls_key")
        if bool(self.dkim_selector) != (self.dkim_key is not None):
            raise ValueError("dkim_selector and dkim_key go together: set both or none")
        if self.language not in self.languages:
            raise ValueError(f'language "{self.language}" is not one of languages {list(self.languages)}')
        return self


def load(path: Path) -> Settings:
    """The settings in `path`, with POSTDESK_* of the environment on top. Raises SettingsError."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; make one with `postdesk init --dir FOLDER`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None
    try:
        return _anchored(Settings(**values), path.resolve().parent)
    except ValidationError as error:
        raise SettingsError("\n".join(_mistake(path, each["loc"], each["msg"]) for each in error.errors())) from None


def _mistake(path: Path, location: tuple[int | str, ...], message: str) -> str:
    """One line about one mistake: where, what, and what to write instead."""
    key = str(location[0]) if location else ""
    source = f"{ENV_PREFIX}{key.upper()}" if f"{ENV_PREFIX}{key.upper()}" in os.environ else str(path)
    said = message.removeprefix("Value error, ")
    if key not in Settings.model_fields:
        near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see docs/settings.md for every setting"
        return f"{source}: {key}: there is no such setting; {hint}" if key else f"{source}: {said}"
    if key == "imap":
        return f"{source}: {settings_imap.mistake(location)}: {said}"
    field = Settings.model_fields[key]
    example = "" if said.startswith("write ") else f"; write {key} = {_toml(_example(key))}"
    return f"{source}: {key}: {said}{example} ({field.description})"


def _example(key: str) -> object:
    field = Settings.model_fields[key]
    return field.examples[0] if field.examples else field.default


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    text = "" if value is None else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _anchored(settings: Settings, folder: Path) -> Settings:
    """The same with every path made absolute, so that a role may stand in any folder."""
    update: dict[str, object] = {}
    for key in ("spool", "keys", "tls_certificate", "tls_key", "dkim_key", "templates"):
        value = getattr(settings, key)
        update[key] = folder / value if value is not None else None
    if settings.database.startswith("sqlite:///") and not settings.database.startswith("sqlite:////"):
        update["database"] = f"sqlite:///{folder / settings.database.removeprefix('sqlite:///')}"
    if "://" not in settings.blobs and settings.blobs != "memory:":
        update["blobs"] = (folder / settings.blobs).as_uri()
    if settings.smarthost.startswith("maildir:"):
        update["smarthost"] = f"maildir:{folder / settings.smarthost.removeprefix('maildir:')}"
    update["imap"] = tuple(
        each.model_copy(update={"password_file": folder / each.password_file}) if each.password_file else each
        for each in settings.imap
    )
    return settings.model_copy(update=update)


def as_toml(values: dict[str, object]) -> str:
    """A postdesk.toml of `values`: every setting with its line of doc, those not given commented out."""
    lines = ["# Postdesk. Every setting is below; those behind a # have the value that is shown."]
    for key, field in Settings.model_fields.items():
        if key == "imap":
            continue
        mark = "" if key in values else "# "
        lines += ["", f"# {field.description}", f"{mark}{key} = {_toml(values.get(key, _example(key)))}"]
    return "\n".join(lines) + "\n\n" + settings_imap.EXAMPLE


def as_page() -> str:
    """docs/settings.md: `python -m postdesk.settings > docs/settings.md` writes it anew, a test compares."""
    head = (
        "# Settings\n\nIn `postdesk.toml`, or in the environment as `POSTDESK_` and the name in capitals (it wins).\n"
        "Paths that are not absolute are below the folder of the file. Lists may be one string with spaces.\n\n"
        "| setting | standard | what it is |\n| --- | --- | --- |\n"
    )
    rows = (
        f"| `{key}` | {'needed' if field.is_required() else f'`{_toml(field.default)}`'} | {field.description} |\n"
        for key, field in Settings.model_fields.items()
    )
    tables = (
        "\nEach `[[imap]]` in `postdesk.toml` is one folder that mail is fetched from (the tables stand at the end of\n"
        "the file); in the environment `POSTDESK_IMAP` is a JSON list of them.\n\n"
        "| setting of `[[imap]]` | standard | what it is |\n| --- | --- | --- |\n"
    )
    return head + "".join(rows) + tables + settings_imap.rows()


if __name__ == "__main__":
    print(as_page(), end="")
