"""An installation: records, master key and media, which are of use together only.

What belongs here: whether what the settings name belongs together, before anything is written, and opening it. What
must never: what is in the records.
"""

import getpass
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from earwitness.aws.clients import AwsCredentials, AwsSettings
from earwitness.aws.kms import KeyService, key_places
from earwitness.config import Settings
from earwitness.config.addresses import moved_port
from earwitness.config.limits import PROCESS_CONNECTIONS_MIN
from earwitness.cores import usable_cores
from earwitness.errors import ConfigurationError, InstallationIncomplete
from earwitness.fragments.interface import StreamIdentity
from earwitness.fragments.owner import owner_of, streams_in
from earwitness.progress import Progress
from earwitness.store.leading import Leader
from earwitness.store.moving import MovedRecords, move_records
from earwitness.store.pages import all_records
from earwitness.store.store import Store, migrate_store, open_store, place_of_records, records_identity
from earwitness.vault.key_folder import KeyFolder, passphrase_in
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper

DEVELOPMENT_FOLDER = "dev"
"""What the data folder of `serve --dev` is called, beside that of a service."""

_log = logging.getLogger("earwitness.installation")

_FRESH = "to begin anew instead, name another data folder or move this one away (docs/records.md)"


def store_url(settings: Settings) -> str:
    """The address of the records."""
    return settings.store_url or f"sqlite:///{_records_file(settings)}"


def media_folder(settings: Settings) -> Path:
    """Where the media are."""
    return settings.media_dir or settings.data_dir / "media"


def settings_of_process(settings: Settings, number: int, count: int) -> Settings:
    """What the process `number` of `count` gets of the settings, from 1: a media folder and an internal address of its
    own, and its share of what a machine has once. Doors with an address of their own belong to the first.

    Raises ConfigurationError for records or addresses that several processes cannot have.
    """
    if store_url(settings).startswith("sqlite"):
        raise ConfigurationError(
            "records in SQLite are served by one process: give several a PostgreSQL by EARWITNESS_STORE_URL "
            "(`earwitness records move` moves what there is)"
        )
    limits = settings.limits
    shared = replace(
        limits,
        store_connections=max(PROCESS_CONNECTIONS_MIN, limits.connections // count),
        inference_threads=limits.inference_threads or max(1, usable_cores() // count),
        job_items_at_once=-(-limits.job_items_at_once // count),
        media_bytes=limits.media_bytes // count,
    )
    media = media_folder(settings)
    own = replace(
        settings,
        limits=shared,
        internal_address=moved_port(settings.internal_address, number - 1, setting="internal_address"),
        internal_url=moved_port(settings.internal_url, number - 1, setting="internal_url"),
        metrics_address=moved_port(settings.metrics_address, number - 1, setting="metrics_address"),
    )
    if number == 1:
        return own
    media = media.with_name(f"{media.name}-{number}")
    return replace(own, media_dir=media, siprec="", siprec_tls="", siprec_tls_client_ca=None, audiosocket="")


def open_installation(settings: Settings, *, clock: Callable[[], datetime], may_make: bool = True) -> Store:
    """The records that the settings name; all is made where there is nothing yet, if `may_make`.

    Raises InstallationIncomplete, and writes nothing, where a part of what was there is missing or is another's, or
    where there is nothing and it may not be made. Raises MasterKeyInvalid, StoreError and ConfigurationError as
    `open_store` does.
    """
    if require_whole(settings) is None and not may_make:
        beside = settings.data_dir.with_name(DEVELOPMENT_FOLDER)
        hint = f"; those of `earwitness serve --dev` are in --data {beside}" if beside.is_dir() else ""
        raise InstallationIncomplete(
            f"there are no records yet in {place_of_records(store_url(settings))}; correct --data or the settings, or "
            f"make an installation with `earwitness keys create`{hint}"
        )
    keys = key_folder(settings)
    found = keys.found(may_make=True)
    if not found:
        raise InstallationIncomplete(f"{keys.missing()}; restore it from your backup")
    store = open_store(
        store_url(settings),
        vault=Vault(MasterKeyWrapper(*found, look_again=keys.found), key_service=_key_service(settings)),
        clock=clock,
        wait_seconds_max=settings.limits.store_wait_seconds,
        connections_max=settings.limits.connections,
    )
    try:
        _require_known(settings, store)
        store.master_keys.on_changed = partial(_settle, keys)
        if not (state := store.master_keys.state()).next_key_id:
            _settle(keys, state.key_id)
    except BaseException:
        store.close()
        raise
    return store


def _key_service(settings: Settings) -> KeyService | None:
    """Return where keys of domains are; None where the settings name none. Raise ConfigurationError."""
    places = key_places(settings.kms_keys)
    if not places:
        return None
    given = settings.kms_access_key_id, settings.kms_secret_access_key
    if any(given) and not all(given):
        raise ConfigurationError("give kms_access_key_id and kms_secret_access_key both, or neither")
    credentials = AwsCredentials(access_key_id=given[0], secret_access_key=given[1]) if all(given) else None
    return KeyService(places, AwsSettings(credentials=credentials, connect_seconds=1.0, read_seconds=2.0))


def _settle(keys: KeyFolder, in_force: str) -> None:
    """Put the key in force where the former one was, and say what is left to do."""
    if left := keys.settle(in_force):
        _log.warning("the master key was changed", extra={"left_to_do": left})


def migrate_installation(settings: Settings) -> bool:
    """Bring the records to this version's schema; False, and nothing is written, where there are none.

    Raises what `open_installation` raises.
    """
    if require_whole(settings) is None:
        return False
    migrate_store(store_url(settings), wait_seconds_max=settings.limits.store_wait_seconds)
    return True


def move_installation(settings: Settings, *, source: Path | None, me: Leader, progress: Progress) -> MovedRecords:
    """Move the records from the file `source`, or from the data folder, to the PostgreSQL that the settings name.

    Master key and media stay where they are. Raise what `move_records` and `open_installation` raise.
    """
    former = replace(settings, store_url="" if source is None else f"sqlite:///{source}")
    if require_whole(former) is None:
        raise InstallationIncomplete(
            f"there are no records to move in {place_of_records(store_url(former))}; name the file with --from"
        )
    # What cannot be opened, for want of the right master key, is not moved either.
    open_installation(former, clock=lambda: datetime.now(UTC), may_make=False).close()
    return move_records(
        source or _records_file(settings),
        settings.store_url or "",
        me=me,
        wait_seconds_max=settings.limits.store_wait_seconds,
        progress=progress,
    )


def require_whole(settings: Settings) -> str | None:
    """Return what tells the records from all others, None where there are none.

    Raise InstallationIncomplete when records, master key or media are missing beside the others, or are not theirs.
    """
    _require_writable(settings.data_dir)
    url, media = store_url(settings), media_folder(settings)
    place = place_of_records(url)
    records = records_identity(url, wait_seconds_max=settings.limits.store_wait_seconds)
    owner = owner_of(media)
    has_media = owner is not None or bool(streams_in(media))
    keys = key_folder(settings)
    if not keys.is_there() and (records is not None or has_media):
        written = f"the records in {place}" if records is not None else f"the media in {media}"
        raise InstallationIncomplete(
            f"{keys.missing()}, and {written} can be read with it alone: restore it from your "
            f"backup, or give it by EARWITNESS_MASTER_KEY; {_FRESH}"
        )
    if records is None and has_media:
        raise InstallationIncomplete(
            f"the records in {place} are missing or empty, and {media} has media that only they open: restore the "
            f"records from your backup, or correct the address; {_FRESH}"
        )
    if owner is not None and records not in (None, owner):
        raise InstallationIncomplete(
            f"the media in {media} belong to other records than those in {place}: give records and "
            f"media of one installation; {_FRESH}"
        )
    return records


def _require_known(settings: Settings, store: Store) -> None:
    """InstallationIncomplete when the records know none of the streams in a media folder of an earlier version, which
    does not say whose it is."""
    media = media_folder(settings)
    stored = streams_in(media) if owner_of(media) is None else frozenset[str]()
    if not stored:
        return
    known = all_records(store.streams.list_everywhere)
    if all(StreamIdentity(account_id=account, stream_arn=one.arn).digest not in stored for account, one in known):
        raise InstallationIncomplete(
            f"the records in {place_of_records(store_url(settings))} know none of the streams in {media}: give the "
            f"records and the media folder of one installation; {_FRESH}"
        )


def _require_writable(folder: Path) -> None:
    """InstallationIncomplete when nothing can be written there."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise InstallationIncomplete(f"the data folder {folder} is or lies below a file; name another one with --data")
    if os.access(there, os.W_OK | os.X_OK):
        return
    read_only = os.statvfs(there).f_flag & os.ST_RDONLY
    reason = "its file system is mounted read-only" if read_only else "its rights do not allow it"
    raise InstallationIncomplete(
        f"the data folder {folder} cannot be written: {reason}; mend that, or name another one with --data"
    )


def _records_file(settings: Settings) -> Path:
    """Where the records are unless the settings name a database."""
    return settings.data_dir / "records.db"


def key_folder(settings: Settings) -> KeyFolder:
    """Return where the master key of the settings is.

    Its passphrase is asked for at a terminal where the folder needs one and the settings give none.
    """

    def passphrase() -> str:
        if settings.master_key_passphrase:
            return settings.master_key_passphrase
        if settings.master_key_passphrase_file is not None:
            return passphrase_in(settings.master_key_passphrase_file)
        is_needed = (settings.data_dir / "master.key.scrypt").exists() and sys.stdin.isatty()
        return getpass.getpass("Passphrase of the master key: ") if is_needed else ""

    if settings.master_key and (settings.master_key_passphrase or settings.master_key_passphrase_file):
        raise ConfigurationError("the settings give a master key and a passphrase; give one of them")
    return KeyFolder(settings.data_dir, text=settings.master_key, ask=passphrase)
