"""Make a new desk in a folder: postdesk.toml, the keys, the spool.

Takes: the folder and the settings that differ from the standard.  Gives: the path of the new postdesk.toml.
Fails: SettingsError where a desk is there already or a setting is wrong; nothing is overwritten.
"""

import base64
import os
import secrets
import tomllib
from pathlib import Path

from postdesk.settings import CONFIG_NAME, Settings, SettingsError, as_toml, load
from rules.tokens import Keys
from values.errors import PostdeskError

KEY_OCTETS = 32


def make_desk(folder: Path, values: dict[str, object]) -> Path:
    """Write the files of a new desk; `values` are settings by name."""
    config = folder / CONFIG_NAME
    if config.exists():
        raise SettingsError(f"{config} is there already; edit it, or choose another --dir")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(config, as_toml(values))
    try:
        settings = load(config)
    except SettingsError:
        config.unlink()
        raise
    make_keys(settings)
    settings.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return config


def make_keys(settings: Settings) -> None:
    """Make the signing keys where there are none yet. New keys would end every address that was ever given out."""
    if settings.keys.exists():
        return
    text = (
        "# Signing keys of reply addresses, return paths and links. Secret. The first one signs, all are accepted:\n"
        "# to change keys put a new one first (b, c and so on) and keep the old one for a year.\n[signing]\n"
    )
    key = base64.b32encode(secrets.token_bytes(KEY_OCTETS)).decode().rstrip("=")
    _write_private(settings.keys, f'{text}a = "{key}"\n')


def read_keys(path: Path) -> Keys:
    """The signing keys; the first one signs. Raises SettingsError."""
    try:
        signing = tomllib.loads(path.read_text("ascii"))["signing"]
        secrets_ = {str(id): base64.b32decode(text + "=" * (-len(text) % 8)) for id, text in signing.items()}
        return Keys(current=next(iter(secrets_)), secrets=secrets_)
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; `postdesk init` makes it, a backup has it") from None
    except PermissionError:
        raise SettingsError(
            f"{path}: may not be read by this user; it belongs to the user that runs the desk"
        ) from None
    except PostdeskError as error:
        raise SettingsError(f"{path}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path}: could not be opened ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        raise SettingsError(
            f'{path}: is no key file; it needs a table [signing] with lines such as a = "BASE32"'
        ) from None


def throwaway_keys() -> Keys:
    """Keys that nothing was ever signed with, for looking at mails without a desk."""
    return Keys(current="a", secrets={"a": secrets.token_bytes(KEY_OCTETS)})


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
