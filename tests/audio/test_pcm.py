"""Raw PCM: libsndfile judges our G.711, hypothesis our chunking."""

import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.pcm import Encoding, PcmDecoder, decode
from earwitness.audio.recording import choose_channel
from earwitness.errors import ChannelNotChosen


@pytest.mark.parametrize(("encoding", "subtype"), [(Encoding.MULAW, "ULAW"), (Encoding.ALAW, "ALAW")])
def test_g711_decodes_as_libsndfile_does(encoding: Encoding, subtype: str) -> None:
    codes = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(codes), format="RAW", subtype=subtype, channels=1, samplerate=8000, dtype="float32"
    )
    np.testing.assert_array_equal(decode(encoding, codes), theirs)


def test_s16le_spans_minus_one_to_one() -> None:
    np.testing.assert_array_equal(decode(Encoding.S16LE, b"\x00\x80\x00\x00\xff\x7f"), [-1.0, 0.0, 32767 / 32768])


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    channels=st.integers(1, 3),
    encoding=st.sampled_from(Encoding),
)
def test_chunks_of_any_size_give_the_same_samples(
    data: bytes, cuts: list[int], channels: int, encoding: Encoding
) -> None:
    channel = channels - 1
    whole = PcmDecoder(encoding, channels=channels, channel=channel).feed(data)
    decoder = PcmDecoder(encoding, channels=channels, channel=channel)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [decoder.feed(data[low:high]) for low, high in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert decoder.rest_bytes == len(data) % (channels * encoding.sample_bytes)


def test_a_channel_must_be_chosen_among_several() -> None:
    assert choose_channel(1, None) == 0
    assert choose_channel(8, 7) == 7
    with pytest.raises(ChannelNotChosen, match="8 channels; choose one participant with --channel 0 to --channel 7"):
        choose_channel(8, None)
    with pytest.raises(ChannelNotChosen, match="no channel 2"):
        choose_channel(2, 2)
