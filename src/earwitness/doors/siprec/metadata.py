"""Recording metadata (rs-metadata, RFC 7865): who is on which stream.

What belongs here: reading the XML of strangers safely, with the vendors' habits; adding partial documents to earlier
ones. What must never: which party is the caller (`caller`).

Read: the RFC's elements (participant with nameID, stream with label, participantstreamassoc with send), Acme's `id`
where the RFC has `participant_id`, Ribbon's (Sonus's) `callData` with the original From and To.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError, ParserCreate

from earwitness.doors.siprec.sdp import read_label
from earwitness.errors import RecordingMetadataInvalid

METADATA_BYTES_MAX = 131_072
ELEMENTS_MAX = 2_000
DEPTH_MAX = 24
_TEXT_MAX = 2_048

REMEMBERED_CHARACTERS_MAX = 262_144
"""Of what all documents of a call say. When partial ones add up to more, what was said before the latest is forgotten:
a client that names new parties for hours must not fill the memory, and the latest document tells of who speaks now."""

_ENTRY_CHARACTERS = 60
"""What an entry costs beside its text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """A party of the recorded call."""

    id: str
    #: The address of record, as `sip:+15550001@example.com`; empty when unknown.
    address: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingMetadata:
    """What the documents of one call say so far."""

    participants: Mapping[str, Participant] = field(default_factory=dict[str, Participant])
    #: Label by stream id.
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Stream ids that each participant sends, by participant id.
    sent: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    #: From and To of the recorded call, where the document has them.
    original_from: str = field(default="", repr=False)
    original_to: str = field(default="", repr=False)
    #: Whether earlier documents said too much to be remembered.
    is_cut: bool = False

    @property
    def characters(self) -> int:
        """Return how much is remembered."""
        texts = [each for party in self.participants.values() for each in (party.id, party.address)]
        texts += [each for pair in self.labels.items() for each in pair]
        texts += [each for participant, streams in self.sent.items() for each in (participant, *streams)]
        return sum(len(each) + _ENTRY_CHARACTERS for each in texts)

    def address_of(self, label: str) -> str:
        """Return the address of who sends the stream of a label; empty when the documents do not tell."""
        streams = {stream for stream, each in self.labels.items() if each == label}
        for participant, sent in self.sent.items():
            if streams & set(sent) and participant in self.participants:
                return self.participants[participant].address
        return ""


def read_metadata(document: bytes, before: RecordingMetadata | None = None) -> RecordingMetadata:
    """Return what a document says; a partial one is added to what was said `before`, as far as there is room.

    Raise RecordingMetadataInvalid for what is no such document, has a DTD or entities, or is too large.
    """
    root = _parse(document)
    if root.name != "recording":
        raise RecordingMetadataInvalid("the metadata's outermost element is not `recording`")
    is_partial = any(each.text.strip().lower() == "partial" for each in root.find("datamode"))
    if not is_partial or before is None:
        return _added(root, RecordingMetadata())
    added = _added(root, before)
    if added.characters <= REMEMBERED_CHARACTERS_MAX:
        return added
    without_parties = RecordingMetadata(original_from=before.original_from, original_to=before.original_to, is_cut=True)
    return _added(root, without_parties)


def _added(root: "_Element", base: RecordingMetadata) -> RecordingMetadata:
    """Return what was said, and what the document says."""
    participants, labels = dict(base.participants), dict(base.labels)
    for element in root.find("participant"):
        identity = element.id("participant_id")
        known = participants.get(identity)
        address = _address(element) or (known.address if known else "")
        participants[identity] = Participant(id=identity, address=address)
    for element in root.find("stream"):
        labels[element.id("stream_id")] = read_label(next((each.text for each in element.find("label")), ""))
    # Who was named latest comes first: a party that takes a stream over may be all that a partial document says.
    said = _sent(root)
    sent = said | {participant: streams for participant, streams in base.sent.items() if participant not in said}
    call = next(root.find("calldata"), None)
    return RecordingMetadata(
        participants=participants,
        labels=labels,
        sent=sent,
        original_from=_first(call, "fromhdr") or base.original_from,
        original_to=_first(call, "tohdr") or base.original_to,
        is_cut=base.is_cut,
    )


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    children: "list[_Element]" = field(default_factory=list["_Element"])
    text: str = ""

    def find(self, name: str) -> "Iterator[_Element]":
        """Yield elements of this name at any depth: vendors nest them in different places."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.find(name)

    def id(self, name: str) -> str:
        return (self.attributes.get(name) or self.attributes.get("id") or "")[:_TEXT_MAX]


def _sent(root: _Element) -> dict[str, tuple[str, ...]]:
    found = dict[str, tuple[str, ...]]()
    for element in root.find("participantstreamassoc"):
        has_left = any(element.find("disassociate-time"))
        sends = () if has_left else tuple(each.text.strip() for each in element.find("send"))
        found[element.id("participant_id")] = sends
    for element in root.find("participant"):  # the draft before the RFC had them inside
        if streams := tuple(each.text.strip() for each in element.find("send")):
            found.setdefault(element.id("participant_id"), streams)
    return found


def _address(element: _Element) -> str:
    for each in element.find("nameid"):
        if address := each.attributes.get("aor") or each.attributes.get("uri"):
            return address.strip()[:_TEXT_MAX]
    return next((each.text.strip() for each in element.find("aor")), "")


def _first(element: _Element | None, name: str) -> str:
    if element is None:
        return ""
    return next((each.text.strip() for each in element.find(name)), "")


def _parse(document: bytes) -> _Element:
    """Return the tree, without namespaces and in lower case. Expat itself never loads what a document names."""
    if len(document) > METADATA_BYTES_MAX:
        raise RecordingMetadataInvalid("the metadata are longer than 128 KB")
    parser = ParserCreate()
    root = _Element("", {})
    open_elements, count = [root], 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > ELEMENTS_MAX or len(open_elements) > DEPTH_MAX:
            raise RecordingMetadataInvalid("the metadata have too many elements, or too deep ones")
        element = _Element(_local(name), {_local(key): value for key, value in attributes.items()})
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        element = open_elements[-1]
        if len(element.text) < _TEXT_MAX:
            element.text += data[: _TEXT_MAX - len(element.text)]

    def refuse(*_: object) -> None:
        raise RecordingMetadataInvalid("the metadata have a document type or entities, which are not read")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = refuse, refuse
    try:
        parser.Parse(document.strip(), True)
    except (ExpatError, ValueError, LookupError) as error:  # the latter two: an encoding nobody knows
        raise RecordingMetadataInvalid("the metadata are not well-formed XML") from error
    return root.children[0]


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()
