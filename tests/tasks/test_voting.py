"""What searches do to their line: real records, a real engine, and voices drawn as real ones lie."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from consent_examples import SUBJECT, named, task_of
from postgres_server import create_database, drop_database, serve_postgres, url_of
from store_examples import MINE, START, Clock, add_domain, guid, opened
from test_store_withdrawals import withdraw

from earwitness.engine.compensation import unit_length
from earwitness.engine.engine import Engine, Voice
from earwitness.engine.gallery import Gallery
from earwitness.engine.line import DAY_DISTANCE_MAX, DISTANCE_MAX
from earwitness.errors import NotFound
from earwitness.store.audit_records import SERVICE
from earwitness.store.leading import Leader
from earwitness.store.records import LineVersion, NewVoiceprint
from earwitness.store.store import Store, Unit
from earwitness.tasks.expire import expire
from earwitness.tasks.lines import LineName, LineReport, lines_of
from earwitness.tasks.voting import LEARN_LINE, LineNews, Lines
from earwitness.voice.band import Band
from earwitness.voice.consent import NOTHING_CARRIED
from earwitness.voice.decision import Outcome
from earwitness.voice.embedding import Embedding, Vector
from earwitness.voice.line import VOICES_MAX, VOICES_MIN, Codec, LineHealth, LineLearning, LineState
from earwitness.voice.speech import NetSpeech
from earwitness.voice.speech_quality import SpeechQuality

DAY = timedelta(days=1)
THREE_YEARS = timedelta(days=3 * 365)
GOOD = SpeechQuality(speech_level_dbfs=-26.0, peak_dbfs=-6.0, clipped_percent=0.0, snr_db=25.0, bandwidth_hz=3_400.0)
SPEECH = NetSpeech(
    samples=np.zeros(0, np.float32), seconds=10.0, band=Band.TELEPHONE, segments=(), quality=GOOD, heard_seconds=20.0
)
_BASIS = np.linalg.qr(np.random.default_rng(11).standard_normal((192, 30)))[0].T.astype(np.float32)


def callers(engine: Engine, count: int, *, seed: int, shift: float = 0.0) -> list[Embedding]:
    """Different people on a line that lies so far from the shipped mean."""
    random = np.random.default_rng(seed)
    mean = engine.space.shipped.mean + np.float32(shift) * _BASIS[0]
    raw = unit_length(mean + 0.75 * unit_length(random.standard_normal((count, 30))) @ _BASIS)
    return [Embedding(vector=one, encoder_id=engine.encoder.encoder_id, net_speech_seconds=10.0) for one in raw]


@dataclass
class Domain:
    """A domain that is searched."""

    store: Store
    engine: Engine
    lines: Lines
    clock: Clock
    line: LineName

    def enrol(self, voice: Embedding, profile_id: str | None = None) -> str:
        profile_id = profile_id or f"vp-{guid()}"
        made = NewVoiceprint(
            encoder_id=voice.encoder_id,
            vector=voice.vector.astype("<f4").tobytes(),
            net_speech_seconds=20.0,
            quality={},
        )

        def work(unit: Unit) -> None:
            expires_at = unit.now + THREE_YEARS
            unit.profiles.create(
                MINE,
                profile_id=profile_id,
                domain_id=self.line.domain_id,
                arn=f"arn:{profile_id}",
                expires_at=expires_at,
            )
            unit.profiles.add_voiceprint(MINE, profile_id, voiceprint_id=guid(), voiceprint=made, expires_at=expires_at)

        self.store.write(work)
        return profile_id

    def told(self) -> tuple[LineReport, ...]:
        """Return what commands and the JSON API are told."""
        scope, domain_id, _ = self.line
        return lines_of(self.store, scope, domain_id, band=Band.TELEPHONE, default=LineLearning.ON).lines

    def gallery(self) -> Gallery:
        return self.lines.gallery(self.line, self.engine)

    def search(
        self,
        *voices: Embedding,
        gallery: Gallery | None = None,
        speech: NetSpeech = SPEECH,
        task_id: str | None = None,
    ) -> LineNews | None:
        """Search for a caller, and write what that says of the line."""
        gallery = gallery or self.gallery()
        heard = [Voice(embedding=voice, seconds=10.0, level_dbfs=-26.0) for voice in voices]
        decision = self.engine.search_voices(heard, gallery)
        searched = self.lines.searched(self.line, heard, speech, gallery, decision, task_id=task_id, at=self.clock())
        news = self.store.write(lambda unit: self.lines.write(unit, searched))
        if news is not None:
            news.tell()
        return news

    def search_all(self, voices: Sequence[Embedding]) -> None:
        for voice in voices:
            self.search(voice)

    @property
    def votes(self) -> int:
        return len(self.store.lines.votes(*self.line))

    @property
    def current(self) -> LineVersion | None:
        return self.store.lines.current(*self.line)

    def distance(self) -> float:
        """How far the mean lies from the shipped one."""
        assert self.current is not None
        assert self.current.mean is not None
        return float(np.linalg.norm(_vector(self.current.mean) - self.engine.space.shipped.mean))

    def health(self) -> LineHealth:
        monitor = self.store.lines.monitor(*self.line)
        assert monitor is not None
        return monitor.health


def _vector(content: bytes) -> Vector:
    return np.frombuffer(content, "<f4").astype(np.float32)


@pytest.fixture
def domain(tmp_path: Path, engine: Engine) -> Iterator[Domain]:
    clock = Clock()
    store = opened(f"sqlite:///{tmp_path / 'records.db'}", clock=clock)
    domain_id = store.write(add_domain).domain_id
    yield Domain(store, engine, Lines(store, default=LineLearning.ON), clock, LineName(MINE, domain_id, Codec.MULAW))
    store.close()


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[str]:
    yield from serve_postgres()


@pytest.fixture
def at_two_nodes(postgres_server: str, engine: Engine) -> Iterator[tuple[Domain, Domain]]:
    """One domain as two nodes have it, each with voices in a memory of its own."""
    name, clock = create_database(postgres_server), Clock()
    with ExitStack() as stack:
        stack.callback(drop_database, postgres_server, name)
        stores = [stack.enter_context(closing(opened(url_of(postgres_server, name), clock=clock))) for _ in range(2)]
        for number, store in enumerate(stores):
            assert (
                store.leading.claim(Leader(holder=f"{number}", host="h", process=number, node_id=f"{number}")) is None
            )
        line = LineName(MINE, stores[0].write(add_domain).domain_id, Codec.MULAW)
        first, second = (Domain(store, engine, Lines(store, default=LineLearning.ON), clock, line) for store in stores)
        yield first, second


@pytest.mark.slow
def test_two_nodes_learn_one_line(at_two_nodes: tuple[Domain, Domain]) -> None:
    voices = callers(at_two_nodes[0].engine, VOICES_MIN, seed=2, shift=0.25)
    for count, voice in enumerate(voices):
        at_two_nodes[count % 2].search(voice)
    lines = [each.gallery().space.line for each in at_two_nodes]
    assert [line.version for line in lines] == [1, 1]
    first, second = (line.mean for line in lines)
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    assert at_two_nodes[0].told() == at_two_nodes[1].told()


@pytest.mark.slow
def test_voices_that_are_searched_for_at_two_nodes_at_once_make_one_version(
    at_two_nodes: tuple[Domain, Domain],
) -> None:
    voices = callers(at_two_nodes[0].engine, 2 * VOICES_MIN, seed=2, shift=0.25)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(Domain.search_all, at_two_nodes, (voices[::2], voices[1::2])))
    versions = at_two_nodes[0].store.lines.versions(MINE, at_two_nodes[0].line.domain_id)
    assert [(one.number, one.voices) for one in versions] == [(2, 20), (1, 10)]
    assert {each.gallery().space.line.version for each in at_two_nodes} == {2}


def test_a_voice_votes_once(domain: Domain) -> None:
    first, second = callers(domain.engine, 2, seed=1)
    domain.search_all([first, second, first, second])
    votes = domain.store.lines.votes(*domain.line)
    assert [_vector(vote.vector).tolist() for vote in votes] == [first.vector.tolist(), second.vector.tolist()]
    assert domain.store.lines.vote_counts(MINE, domain.line.domain_id) == {Codec.MULAW: 2}


def test_what_does_not_vote(domain: Domain) -> None:
    first, second = callers(domain.engine, 2, seed=1)
    domain.search(first, speech=replace(SPEECH, quality=replace(GOOD, clipped_percent=9.0)))
    domain.search(first, speech=replace(SPEECH, seconds=4.0))
    domain.search(first, second)
    assert domain.votes == 0
    assert domain.store.lines.monitor(*domain.line) is None
    domain.store.write(lambda unit: unit.lines.switch(MINE, domain.line.domain_id, LineLearning.OFF))
    domain.search(first)
    assert domain.votes == 0
    assert domain.store.lines.monitor(*domain.line) is not None


def test_without_a_switch_the_setting_counts(domain: Domain) -> None:
    (voice,) = callers(domain.engine, 1, seed=1)
    domain.lines = Lines(domain.store, default=LineLearning.OFF)
    domain.search(voice)
    assert domain.votes == 0
    domain.store.write(lambda unit: unit.lines.switch(MINE, domain.line.domain_id, LineLearning.ON))
    domain.search(voice)
    assert domain.votes == 1


def test_a_line_is_learnt_in_versions_of_ten_voices_and_then_stays(
    domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "earwitness.lines")
    voices = callers(domain.engine, VOICES_MAX + 10, seed=2, shift=0.25)
    seen: list[tuple[int, int]] = []
    for count, voice in enumerate(voices, start=1):
        domain.search(voice)
        line = domain.gallery().space.line
        assert line.voices == min(count // 10 * 10, VOICES_MAX)
        assert (line.mean is None) == (count < VOICES_MIN)
        seen.append((line.version, domain.votes))
    assert seen[VOICES_MIN - 2 :: 10][:2] == [(0, 9), (1, 19)]
    assert seen[VOICES_MAX - 1 :] == [(5, 0)] * 11
    assert domain.gallery().space.line.state is LineState.LEARNT
    untouched = float(
        np.linalg.norm(np.mean([voice.vector for voice in voices], axis=0) - domain.engine.space.shipped.mean)
    )
    assert 0.6 * untouched < domain.distance() < 1.1 * untouched
    entries = domain.store.audit.list(MINE, limit=10).items
    assert [(entry.operation, entry.key_id, entry.outcome) for entry in entries] == [(LEARN_LINE, SERVICE, "done")] * 5
    assert [record.message for record in caplog.records].count("a line was learnt from further voices") == 5


def test_what_is_learnt_counts_in_the_next_answer(domain: Domain) -> None:
    known, *others = callers(domain.engine, 12, seed=3)
    profile_id = domain.enrol(known)
    before = domain.engine.search(known, domain.gallery())
    domain.search_all(others)
    after = domain.engine.search(known, domain.gallery())
    assert before.basis is not None
    assert after.basis is not None
    assert (before.basis.line_state, before.basis.line_version) == (LineState.UNKNOWN, 0)
    assert (after.basis.line_state, after.basis.line_version, after.basis.line_voices) == (LineState.LEARNING, 1, 10)
    assert [one.candidates[0].profile_id for one in (before, after)] == [profile_id, profile_id]


def test_a_line_that_another_voice_model_heard_is_learnt_anew(domain: Domain) -> None:
    former = {"encoder_id": "another-1/telephone", "mean": callers(domain.engine, 1, seed=1)[0].vector.tobytes()}

    def learn(unit: Unit) -> None:
        unit.lines.lock(MINE, domain.line.domain_id)
        unit.lines.learn(*domain.line, **former, voices=VOICES_MAX)

    domain.store.write(learn)
    line = domain.gallery().space.line
    assert (line.state, line.version) == (LineState.UNKNOWN, 1)
    (told,) = domain.told()
    assert (told.state, told.voices, told.versions[0].voices) == (LineState.UNKNOWN, 0, VOICES_MAX)
    domain.search_all(callers(domain.engine, VOICES_MIN, seed=2))
    line = domain.gallery().space.line
    assert (line.voices, line.version) == (VOICES_MIN, 2)
    (told,) = domain.told()
    assert (told.state, told.voices) == (LineState.LEARNING, VOICES_MIN)


def test_votes_of_a_day_ago_are_gone_and_what_was_learnt_goes_on(domain: Domain) -> None:
    voices = callers(domain.engine, 24, seed=4)
    domain.search_all(voices[:14])
    domain.clock.advance(DAY)
    assert expire(domain.store, now=domain.clock())["line votes"] == 14
    domain.search_all(voices[14:23])
    assert domain.gallery().space.line.version == 1
    domain.search(voices[23])
    line = domain.gallery().space.line
    assert (line.version, line.voices) == (2, 20)


def test_a_few_callers_a_day_teach_nothing(domain: Domain) -> None:
    for day in range(4):
        domain.search_all(callers(domain.engine, VOICES_MIN - 1, seed=day))
        domain.clock.advance(DAY)
        expire(domain.store, now=domain.clock())
    assert domain.votes == 0
    assert domain.current is None


def test_searches_that_end_at_once_count_each_voice_once(domain: Domain) -> None:
    voices = callers(domain.engine, 6, seed=5)
    together = threading.Barrier(12)

    def search(voice: Embedding) -> None:
        together.wait()
        domain.search(voice)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(search, voices * 2))
    assert domain.votes == 6


def test_a_search_that_is_not_written_has_not_voted(domain: Domain) -> None:
    (voice,) = callers(domain.engine, 1, seed=6)
    gallery = domain.gallery()
    heard = [Voice(embedding=voice, seconds=10.0, level_dbfs=-26.0)]
    decision = domain.engine.search_voices(heard, gallery)
    searched = domain.lines.searched(domain.line, heard, SPEECH, gallery, decision, task_id=None, at=START)

    def killed(unit: Unit) -> None:
        domain.lines.write(unit, searched)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        domain.store.write(killed)
    assert domain.votes == 0
    assert domain.store.lines.monitor(*domain.line) is None


# Withdrawal.


def test_a_deleted_profile_takes_the_vote_of_its_caller(domain: Domain) -> None:
    known, stranger = callers(domain.engine, 2, seed=7)
    profile_id = domain.enrol(known)
    domain.search_all([known, stranger])
    assert domain.votes == 2
    domain.store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
    assert domain.votes == 1


def test_nobody_is_found_once_their_deletion_was_answered(domain: Domain) -> None:
    known, other = callers(domain.engine, 2, seed=8)
    profile_id = domain.enrol(known)
    kept = domain.enrol(other)
    gallery = domain.gallery()
    domain.store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
    assert domain.search(known, gallery=gallery) is None
    assert domain.votes == 0
    assert domain.search(known) is not None
    assert domain.votes == 1
    # Whoever else came or went meanwhile is no reason to search again.
    gallery = domain.gallery()
    domain.enrol(callers(domain.engine, 1, seed=9)[0])
    assert domain.search(other, gallery=gallery) is not None
    assert domain.engine.search(other, gallery).candidates[0].profile_id == kept


def test_a_deleted_domain_is_not_learnt_from(domain: Domain) -> None:
    (voice,) = callers(domain.engine, 1, seed=10)
    gallery = domain.gallery()
    domain.store.write(lambda unit: unit.domains.delete(MINE, domain.line.domain_id))
    with pytest.raises(NotFound):
        domain.search(voice, gallery=gallery)


def test_callers_in_memory_go_with_their_profile_and_domain_and_when_the_line_is_reset(domain: Domain) -> None:
    known, stranger, later = callers(domain.engine, 3, seed=8)
    profile_id = domain.enrol(known)
    domain.search_all([known, stranger])
    domain.store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
    domain.lines.forget_deleted()
    assert _remembered(domain) == [stranger]
    domain.clock.advance(timedelta(minutes=1))
    domain.store.write(lambda unit: unit.lines.reset(*domain.line, key_id="key-1"))
    domain.clock.advance(timedelta(minutes=1))
    domain.search(later)
    assert _remembered(domain) == [later]
    domain.store.write(lambda unit: unit.domains.delete(MINE, domain.line.domain_id))
    domain.lines.forget_deleted()
    assert _remembered(domain) == []


def test_a_withdrawal_takes_the_voices_of_the_subjects_calls_from_memory(domain: Domain) -> None:
    voice, another, unnamed = callers(domain.engine, 3, seed=8)
    for caller, carried in ((voice, named()), (another, named("customer 2")), (unnamed, NOTHING_CARRIED)):
        task = domain.store.write(lambda unit, carried=carried: task_of(unit, domain.line.domain_id, carried))
        domain.search(caller, task_id=task.task_id)
        domain.store.write(lambda unit, task=task: unit.pipelines.delete(MINE, task.pipeline_id))
    domain.lines.forget_deleted()
    assert _remembered(domain) == [voice, another, unnamed]
    withdraw(domain.store, SUBJECT)
    domain.lines.forget_deleted()
    assert _remembered(domain) == [another, unnamed]


def test_a_search_that_ends_beside_the_withdrawal_leaves_no_voice_in_memory(domain: Domain) -> None:
    (voice,) = callers(domain.engine, 1, seed=8)
    task = domain.store.write(lambda unit: task_of(unit, domain.line.domain_id, named()))
    withdraw(domain.store, SUBJECT)
    domain.search(voice, task_id=task.task_id)
    domain.lines.forget_callers(now=domain.clock() + timedelta(minutes=2))
    assert _remembered(domain) == []


def _remembered(domain: Domain) -> list[Embedding]:
    return [one.voice for one in domain.lines._callers._lines.get(domain.line, ())]


# The monitor.


def test_a_new_trunk_is_noticed_within_twenty_callers_and_learnt_anew(
    domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "earwitness.lines")
    for voice in callers(domain.engine, 20, seed=11):
        domain.enrol(voice)
    domain.search_all(callers(domain.engine, VOICES_MAX + 20, seed=12))
    assert domain.health() is LineHealth.WELL
    caplog.clear()

    new_trunk = callers(domain.engine, 90, seed=13, shift=0.5)
    domain.search_all(new_trunk[:20])
    assert domain.health() is LineHealth.OFF
    (said,) = caplog.records
    assert (said.message, said.levelname) == ("a line is off", "WARNING")
    assert "earwitness line reset" in vars(said)["reason"]
    assert domain.gallery().space.line.unknown == 1.0  # its margin is back
    (told,) = domain.told()
    assert told.advice == vars(said)["reason"]

    domain.store.write(lambda unit: unit.lines.reset(*domain.line, key_id="key-1"))
    assert domain.gallery().space.line.state is LineState.UNKNOWN
    domain.search_all(new_trunk[20:])
    assert domain.gallery().space.line.state is LineState.LEARNT
    assert domain.health() is LineHealth.WELL
    assert [record.levelname for record in caplog.records].count("WARNING") <= 2


def test_one_caller_again_and_again_is_no_line(domain: Domain) -> None:
    (voice,) = callers(domain.engine, 1, seed=14)
    domain.enrol(callers(domain.engine, 1, seed=15)[0])
    domain.search_all([voice] * 20)
    assert domain.votes == 1
    assert domain.current is None
    monitor = domain.store.lines.monitor(*domain.line)
    assert monitor is not None
    assert (monitor.searches, monitor.callers_mean, monitor.health) == (0, None, LineHealth.TOO_FEW)


# Nobody steers it.


@pytest.mark.slow
@pytest.mark.parametrize("reach", [0.4, 0.8])
def test_sixty_attackers_move_a_fresh_domain_no_further_than_the_bounds(domain: Domain, reach: float) -> None:
    enrolled = callers(domain.engine, 20, seed=16)
    for voice in enrolled:
        domain.enrol(voice)
    strangers = callers(domain.engine, 60, seed=17)
    before = _named(domain, strangers)
    domain.search_all(callers(domain.engine, 60, seed=18, shift=reach))
    assert domain.distance() <= DAY_DISTANCE_MAX + 1e-4
    assert _named(domain, strangers) <= before
    threshold = domain.engine.search(strangers[0], domain.gallery()).threshold
    assert threshold is not None
    assert threshold.score >= _shipped_threshold(domain)


@pytest.mark.slow
def test_a_slow_drift_after_a_reset_ends_at_the_bounds(domain: Domain) -> None:
    domain.search_all(callers(domain.engine, VOICES_MAX, seed=19))
    domain.store.write(lambda unit: unit.lines.reset(*domain.line, key_id="key-1"))
    for day in range(5):
        domain.search_all(callers(domain.engine, VOICES_MIN, seed=20 + day, shift=3.0 + day))
        domain.clock.advance(DAY)
        expire(domain.store, now=domain.clock())
        if domain.current is not None and domain.current.mean is not None:
            assert domain.distance() <= min(DISTANCE_MAX, (day + 1) * DAY_DISTANCE_MAX) + 1e-4


def _named(domain: Domain, voices: Sequence[Embedding]) -> int:
    gallery = domain.gallery()
    return sum(domain.engine.search(voice, gallery).outcome is Outcome.MATCH for voice in voices)


def _shipped_threshold(domain: Domain) -> float:
    return domain.engine.calibration.threshold(
        gallery_size=20, strangers_named_percent=domain.engine.strangers_named_percent, net_seconds=10.0
    ).score
