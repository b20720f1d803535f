"""Settings: what is wrong is told with its file, key and what to write instead."""

from pathlib import Path

import pytest

from postdesk.settings import Settings, SettingsError, as_page, as_toml, load

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in Settings.model_fields:
        monkeypatch.delenv(f"POSTDESK_{key.upper()}", raising=False)
    return tmp_path / "postdesk.toml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('vendor_domain = "nordvik"', "write a domain name, as in nordvik.test"),
        ("", 'write vendor_domain = "nordvik.test"'),
        ('vendor_domain = "nordvik.test"\nspol = "x"', "spol: there is no such setting; did you mean spool?"),
        ('vendor_domain = "nordvik.test"\nxyzzy = 1', "see docs/settings.md"),
        ('vendor_domain = "nordvik.test"\nlisten_smtp = ["2525"]', "write HOST:PORT, as in 127.0.0.1:2525"),
        ('vendor_domain = "nordvik.test"\nworkers = 0', "workers: Input should be greater than or equal to 1; write w"),
        ('vendor_domain = "nordvik.test"\nzone = "Mars"', "write a time zone of the tz database"),
        ('vendor_domain = "nordvik.test"\ndatabase = "mysql://x"', "write sqlite:///postdesk.db or postgresql://"),
        ('vendor_domain = "nordvik.test"\nsmarthost = "relay"', "write smtp://host:25"),
        (
            'vendor_domain = "nordvik.test"\nsupport_address = "s+x@nordvik.test"',
            "write one plain address with 1 to 23",
        ),
        ('vendor_domain = "nordvik.test"\nlanguage = "fr"', 'language "fr" is not one of languages'),
        ('vendor_domain = "nordvik.test"\ntls_key = "k.pem"', "set both or none"),
        ('vendor_domain = "nordvik.test"\nlisten_smtps = ["0.0.0.0:465"]', "needs tls_certificate and tls_key"),
        ('vendor_domain = "nordvik.test"\nlisten_lmtp = ["[::1]:25"]', "LMTP is not for port 25"),
        ('vendor_domain = "nordvik.test"\ndkim_selector = "s1"', "dkim_selector and dkim_key go together"),
        ("vendor_domain nordvik", "is not TOML"),
    ],
)
def test_a_mistake_is_told(config: Path, text: str, told: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError) as failure:
        load(config)
    assert str(config) in str(failure.value)
    assert told in str(failure.value)


MAILBOX = 'vendor_domain = "nordvik.test"\n[[imap]]\nhost = "imap.test"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('password = "x"', "[[imap]] number 1: user: Field required"),
        ('user = "u"', '[[imap]] number 1: write password_file = "imap-password"'),
        ('user = "u"\npassword = "x"\npassword_file = "y"', "not both"),
        ('user = "u"\npassword = "hunter2"\npasswort = "y"', "[[imap]] number 1: passwort: Extra inputs"),
        ('user = "u"\npassword = "hunter2"\ntls = "off"', "this machine only"),
        ('user = "u"\npassword = "hunter2"\nafter = "move"', 'move_to = "another folder" go together'),
        ('user = "u"\npassword = "hunter2"\nmove_to = "INBOX"', "go together"),
        ('user = "u\\r\\nx LOGOUT"\npassword = "hunter2"', "[[imap]] number 1: user: String should match"),
        ('user = "u"\npassword = "hunter2\\r\\nx LOGOUT"', "on one line, without control characters"),
        ('user = "u"\npassword = "hunter2"\nfolder = "a\\r\\nb"', "folder: String should match"),
        ('user = "u"\npassword = "hunter2"\nsince = "yesterday"', "since: Input should be a valid date"),
    ],
)
def test_a_mistake_in_a_mailbox_is_told(config: Path, text: str, told: str) -> None:
    """RFC 3501 §11.1: no password in clear; nothing that ends a command line gets into one."""
    config.write_text(MAILBOX + text)
    with pytest.raises(SettingsError) as failure:
        load(config)
    assert told in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_mailboxes_stand_in_the_file_or_in_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(MAILBOX + 'user = "u"\npassword_file = "imap-password"\nsince = 2026-11-24')
    (mailbox,) = load(config).imap
    assert (mailbox.real_port, mailbox.password_file) == (993, config.parent / "imap-password")
    assert str(mailbox.since) == "2026-11-24"
    one = '[{"host": "localhost", "tls": "off", "user": "u", "password": "hunter2"}]'
    monkeypatch.setenv("POSTDESK_IMAP", one)
    (mailbox,) = load(config).imap
    assert mailbox.real_port == 143 and "hunter2" not in repr(mailbox)
    monkeypatch.setenv("POSTDESK_IMAP", one.replace("u", "", 1))
    with pytest.raises(SettingsError, match="POSTDESK_IMAP: "):
        load(config)
    monkeypatch.setenv("POSTDESK_IMAP", "imap.test")
    with pytest.raises(SettingsError, match="write a JSON list"):
        load(config)


def test_a_missing_file_is_told(config: Path) -> None:
    with pytest.raises(SettingsError, match="postdesk init"):
        load(config)


def test_the_environment_wins_and_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('vendor_domain = "nordvik.test"\nworkers = 3')
    monkeypatch.setenv("POSTDESK_WORKERS", "4")
    monkeypatch.setenv("POSTDESK_LISTEN_SMTP", "127.0.0.1:25 [::1]:25")
    assert load(config).workers == 4
    assert load(config).listen_smtp == ("127.0.0.1:25", "[::1]:25")
    monkeypatch.setenv("POSTDESK_WORKERS", "many")
    with pytest.raises(SettingsError, match="POSTDESK_WORKERS: workers"):
        load(config)


def test_a_secret_in_a_wrong_value_is_not_repeated(config: Path) -> None:
    config.write_text('vendor_domain = "nordvik.test"\nsmarthost = "smpt://desk:hunter2@relay"')
    with pytest.raises(SettingsError) as failure:
        load(config)
    assert "hunter2" not in str(failure.value)


def test_what_follows_from_the_domain(config: Path) -> None:
    config.write_text('vendor_domain = "Nordvik.test."\naccess_address = "door@nordvik.test"')
    settings = load(config)
    assert settings.support_address == "support@nordvik.test"
    assert settings.access_address == "door@nordvik.test"
    assert settings.hostname == settings.dkim_domain == "nordvik.test"


def test_paths_are_below_the_folder_of_the_file(config: Path) -> None:
    config.write_text('vendor_domain = "nordvik.test"\nsmarthost = "maildir:out"\nblobs = "s3://bucket/desk"')
    settings = load(config)
    assert settings.spool == config.parent / "spool"
    assert settings.database == f"sqlite:///{config.parent / 'postdesk.db'}"
    assert settings.smarthost == f"maildir:{config.parent / 'out'}"
    assert settings.blobs == "s3://bucket/desk"


def test_a_written_file_is_read_back(config: Path) -> None:
    values: dict[str, object] = {"vendor_domain": "nordvik.test", "authentication": False, "listen_smtp": ("[::1]:1",)}
    config.write_text(as_toml(values))
    settings = load(config)
    assert (settings.authentication, settings.listen_smtp) == (False, ("[::1]:1",))


def test_every_setting_is_documented() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert PAGE.read_text("utf-8") == as_page(), "run: python -m postdesk.settings > docs/settings.md"
