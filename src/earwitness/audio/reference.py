"""One participant's channel of a stream with the other's beside it, by which leakage is told (`audio/leakage.py`)."""

from collections.abc import Sequence

from earwitness.audio.channel import ChannelDecoder
from earwitness.audio.fragment_tags import MediaType
from earwitness.audio.leakage import beside
from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.tracks import Header
from earwitness.errors import MediaIncompatible
from earwitness.voice.embedding import Samples


class ReferencedDecoder:
    """Decodes one channel, and where exactly two people share the stream and its clock, the other one as well."""

    def __init__(
        self,
        header: Header,
        *,
        channel: int,
        declared_rate: int,
        pcm_declared: bool = True,
        media_type: MediaType | None = None,
    ) -> None:
        """As ChannelDecoder takes them. Raises MediaIncompatible for the chosen channel only."""

        def decoder(of: int) -> ChannelDecoder:
            return ChannelDecoder(
                header, channel=of, declared_rate=declared_rate, pcm_declared=pcm_declared, media_type=media_type
            )

        self.own = decoder(channel)
        """The chosen channel's."""

        self._other: ChannelDecoder | None = None
        if self.own.participants == 2:
            try:
                other = decoder(1 - channel)
            except MediaIncompatible:
                return  # nobody listens to that channel; without it leakage is told by its level alone
            self._other = other if other.rate == self.own.rate else None

    @property
    def rest_bytes(self) -> int:
        """Bytes of samples that wait for their other half in the next frame."""
        return self.own.rest_bytes + (self._other.rest_bytes if self._other is not None else 0)

    def feed(self, frames: Sequence[Frame]) -> Samples:
        """The samples that these frames complete, of all frames of a fragment: shape (n, 2), or (n,) where there is no
        other channel. Both begin with the fragment."""
        own = self.own.feed(frames)
        return own if self._other is None else beside(own, self._other.feed(frames))
