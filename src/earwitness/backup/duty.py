"""From settings to the duty of every service: to tell the ledgers of deletions, wherever they lie.

What belongs here: what a start needs of backups. What must never: making one, or putting one back.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime

from earwitness.backup.keeping import LedgerKeeper, keep_ledgers
from earwitness.backup.places import Place, place_of
from earwitness.config import Settings
from earwitness.config.aws import aws_region
from earwitness.store.store import Store


def place_at(settings: Settings, address: str) -> Place:
    """Return the place of this address. Raise ConfigurationError."""
    region = aws_region()
    return place_of(address, endpoint_url=settings.backup_endpoint_url, region=region)


def keeper_of(settings: Settings, store: Store, *, clock: Callable[[], datetime]) -> LedgerKeeper:
    """Return what tells the ledgers of these records. Raise ConfigurationError."""
    return LedgerKeeper(
        store,
        place_of=lambda address: place_at(settings, address),
        second_place=settings.deletion_ledger,
        backup_days_max=settings.backup_days_max,
        clock=clock,
    )


def keeping_ledgers(
    settings: Settings, store: Store, clock: Callable[[], datetime], keeps_house: Callable[[], bool]
) -> Coroutine[None, None, None]:
    """Return the duty of a service to tell its ledgers, to be run until it is cancelled. Raise ConfigurationError."""
    return keep_ledgers(keeper_of(settings, store, clock=clock), keeps_house=keeps_house)
