"""From settings to what backups and restores are told to do.

What belongs here: where things are. What must never: what is done with them.
"""

import base64
from typing import TYPE_CHECKING

from earwitness.backup.duty import place_at
from earwitness.backup.making import BackupOrder
from earwitness.config import Settings
from earwitness.errors import ConfigurationError
from earwitness.installation import key_folder, media_folder, store_url
from earwitness.vault.age import require_recipient
from earwitness.vault.master_key import master_key_from_text
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper

if TYPE_CHECKING:
    from earwitness.backup.restoring import RestoreOrder


def backup_order(settings: Settings, *, with_media: bool, recipient: str | None, with_master_key: bool) -> BackupOrder:
    """Return what is to be backed up. Raise ConfigurationError and BadRequest for what cannot be."""
    if with_master_key and recipient is None:
        raise ConfigurationError(
            "with the master key a backup opens itself; name whom it is encrypted for with --to, a public key of age"
        )
    key = _master_key_text(settings) if with_master_key else None
    if with_master_key and key is None:
        raise ConfigurationError("the master key is not in a file or by value here, so it cannot be in a backup")
    return BackupOrder(
        store_url=store_url(settings),
        wait_seconds_max=settings.limits.store_wait_seconds,
        media_folder=media_folder(settings) if with_media else None,
        recipient=None if recipient is None else require_recipient(recipient),
        master_key=key,
        salt_file=key_folder(settings).parameters,
        days_max=settings.backup_days_max,
    )


def restore_order(
    settings: Settings, *, identity: str | None, ledgers: list[str], accept_resurrection: bool
) -> "RestoreOrder":
    """Return where a backup is to be put back. Raise ConfigurationError."""
    from earwitness.backup.restoring import RestoreOrder  # a backup needs nothing of a restore

    addresses = [*ledgers, settings.deletion_ledger] if settings.deletion_ledger else ledgers
    return RestoreOrder(
        data_dir=settings.data_dir,
        store_url=store_url(settings),
        wait_seconds_max=settings.limits.store_wait_seconds,
        media_folder=media_folder(settings),
        master_key_file=key_folder(settings).file,
        salt_file=key_folder(settings).parameters,
        vault=lambda: _vault(settings),
        vault_of=_vault_of,
        identity=identity,
        ledgers=tuple(place_at(settings, address) for address in dict.fromkeys(addresses)),
        accept_resurrection=accept_resurrection,
    )


def _vault(settings: Settings) -> Vault | None:
    found = key_folder(settings).found()
    return Vault(MasterKeyWrapper(*found)) if found else None


def _vault_of(text: str) -> Vault:
    return Vault(MasterKeyWrapper(master_key_from_text(text)))


def _master_key_text(settings: Settings) -> str | None:
    """Return the master key in base64; None when there is none here.

    Raise ConfigurationError while it is changed, MasterKeyInvalid for one that is none.
    """
    found = key_folder(settings).found()
    if len(found) > 1:
        raise ConfigurationError("the master key is being changed; finish that with `earwitness master-key rotate`")
    return base64.b64encode(found[0].key).decode("ascii") if found else None
