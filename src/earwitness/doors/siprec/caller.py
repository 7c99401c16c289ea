"""Which of a recorded call's legs is the caller's: SIPREC does not say it in so many words.

The rule, first that tells: (1) the connector's own setting names the label; (2) the address of one party equals the
From of the recorded call, or of one the To: the other one called; (3) labels that vendors use, as `a_leg`; (4) as AWS
has it, "the stream label that sorts first is usually the agent": the last one is the caller. The one leg of a call is
the caller's, unless it is the called party's by address.
"""

import re
from collections.abc import Mapping, Sequence

from earwitness.doors.siprec.addresses import read_name_address, read_uri

_CALLERS_LABELS = ("a_leg", "caller", "customer", "inbound", "caller_leg", "calling")
_CALLEES_LABELS = ("b_leg", "callee", "agent", "outbound", "callee_leg", "called")


def callers_label(
    labels: Sequence[str],
    *,
    addresses: Mapping[str, str],
    setting: str,
    senders: Sequence[str],
    receivers: Sequence[str],
) -> str:
    """Return the label of the caller's leg; empty when there are no labels.

    `addresses` are the parties' by label, as the metadata have them. `senders` and `receivers` are From and To of the
    recorded call as far as they are known, best first.
    """
    if setting in labels:
        return setting
    if len(labels) < 2:
        addresses_called = {address_of_record(each) for each in receivers} - {""}
        is_called = bool(labels) and address_of_record(addresses.get(labels[0], "")) in addresses_called
        return labels[0] if labels and not is_called else ""
    return _by_address(labels, addresses, senders, receivers) or _by_habit(labels) or max(labels, key=_order)


def address_of_record(text: str) -> str:
    """Return user and host of an address, with or without a name before it; empty when it is none."""
    found = read_name_address(text)
    if found is None:
        return ""
    uri = read_uri(found.uri)
    if uri is not None:
        return uri.address_of_record
    scheme, _, rest = found.uri.partition(":")
    return rest.partition(";")[0].lower() if scheme.lower() == "tel" else ""


def number_of(text: str) -> str:
    """Return the number or user of an address, as events tell it; empty when it has none."""
    return address_of_record(text).partition("@")[0]


def _by_address(
    labels: Sequence[str], addresses: Mapping[str, str], senders: Sequence[str], receivers: Sequence[str]
) -> str:
    of_label = {label: address_of_record(addresses.get(label, "")) for label in labels}
    for sender in filter(None, map(address_of_record, senders)):
        matching = [label for label in labels if of_label[label] == sender]
        if len(matching) == 1:
            return matching[0]
    if len(labels) == 2:
        for receiver in filter(None, map(address_of_record, receivers)):
            others = [label for label in labels if of_label[label] != receiver]
            if len(others) == 1:
                return others[0]
    return ""


def _by_habit(labels: Sequence[str]) -> str:
    named = [label for label in labels if label.lower() in _CALLERS_LABELS]
    if len(named) == 1:
        return named[0]
    others = [label for label in labels if label.lower() not in _CALLEES_LABELS]
    return others[0] if len(others) == 1 else ""


def _order(label: str) -> list[tuple[int, int, str]]:
    """Sort numbers as numbers: 2 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,18})", label) if part]
