"""Every exception earwitness raises on purpose, as one tree.

    EarwitnessError
    ├── ConfigurationError            a setting cannot be read or makes no sense
    ├── AudioError                    the recording itself
    │   ├── AudioUnreadable           empty, not audio, an unknown encoding
    │   ├── AudioTruncated            ends before the length its header declares
    │   ├── AudioTooLong              more of it would have to be decoded than this service does
    │   ├── ChannelNotChosen          several channels and none was named, or one that is not there
    │   ├── RateUnsupported           below 8 or above 48 kHz
    │   ├── AudioNotFinite            NaN or infinite samples
    │   ├── MatroskaInvalid           bytes that are not Matroska, or break its rules
    │   └── MediaIncompatible         a stream whose audio cannot be decoded, or has not the channel asked for
    ├── SpeechError                   the speech in it
    │   ├── NotEnoughSpeech           too little net speech for what was asked
    │   │   └── NoSpeech              none at all: silence, music, tones
    │   └── SpeechTooPoor             enough of it, but not good enough to enrol
    │       └── SeveralVoices         it is of more than one voice
    ├── ModelError                    the voice models on this machine
    │   ├── ModelMissing              not pulled yet
    │   ├── ModelFetchFailed          pip could not bring the package  (retryable)
    │   ├── ModelDamaged              a hash does not match
    │   ├── WeightsRefused            the weights file holds something other than tensors
    │   └── CacheUnwritable           the models' folder cannot be written
    ├── GalleryError                  enrolled voices
    │   ├── GalleryUnreadable         the file is not a gallery, or damaged
    │   ├── GalleryUnwritable         the file cannot be written
    │   ├── GalleryOfAnotherModel     embeddings of another encoder, band or compensation
    │   └── ProfileNotFound           nobody by that name
    ├── EvaluationError               measuring accuracy
    │   ├── ManifestInvalid           a manifest or trial list that cannot be used
    │   ├── TooFewSpeakers            nothing to measure, or nothing to fit
    │   ├── LabelsDoubtful            copies, or ids that the voices contradict; nothing is fitted on them
    │   └── RequirementInvalid        a --require expression that cannot be read
    ├── RequestError                  a request to the service that gets no result; becomes a modelled fault
    │   ├── BadRequest                malformed, or a value outside its constraints
    │   │   └── BodyTooLarge          longer than this server takes
    │   ├── Unauthorized              unknown or disabled key, bad or stale signature
    │   ├── Forbidden                 a good key whose role may not do this
    │   │   └── ConsentMissing        the person did not agree to it, or does no longer
    │   ├── NotFound                  the resource does not exist in this account
    │   ├── Conflict                  clashes with the resource's present state
    │   │   └── ChangedMeanwhile      which another change made it have just now; the store tries such a change again
    │   ├── Gone                      was there, and is deleted for good
    │   ├── Unprocessable             well-formed, but makes no sense here
    │   ├── LimitExceeded             a quota of the account is reached
    │   ├── AlreadyExists             the name of a stream is taken
    │   ├── VersionMismatch           the stream changed since the caller read it
    │   ├── Throttled                 too many requests; wait  (retryable)
    │   ├── Unavailable               store away, draining or over capacity; wait  (retryable)
    │   ├── UnknownOperation          no operation has this method and path
    │   ├── NotServed                 AWS has this operation and earwitness does not
    │   └── TokenReused               a request token comes again with another request
    ├── PutMediaFailed                a producer's media was refused
    │   ├── AnotherProducer           somebody else sends to the stream
    │   └── PutMediaInterrupted       the connection broke, or the service is away  (retryable)
    ├── VaultError                    encryption at rest
    │   ├── MasterKeyInvalid          not the key that the data was written under, or unreadable
    │   ├── CiphertextRefused         damaged, moved to another row, or its key was destroyed
    │   └── SignatureInvalid          a signed document that was changed, or that another key signed
    ├── ArchiveInvalid                an export that is damaged, cut off, or for another key
    ├── AuditPlaceUnavailable         where checkpoints and expired entries of the audit trail go  (retryable)
    ├── BucketUnavailable             a bucket of S3 does not answer, or refuses  (retryable)
    ├── BackupError                   backups, and restoring them
    │   ├── BackupInvalid             one that is damaged, cut short, of other records, or for another key
    │   ├── BackupPlaceUnavailable    where backups lie cannot be reached, read or written  (retryable)
    │   └── RestoreRefused            a restore that would overwrite, or bring back what was deleted
    ├── StoreError                    the records
    │   ├── AttemptSuperseded         another worker took the task over; drop it
    │   ├── StoreUnavailable          the database is away, locked past a limit, or its disk is full  (retryable)
    │   │   ├── StoreDamaged          it holds what earwitness did not write; restore it from a backup
    │   │   ├── RecordDamaged         one record of it cannot be read; restore the database from a backup
    │   │   ├── StoreBusy             it is locked, and this thread may not wait; another one may  (retryable)
    │   │   ├── StoreFull             its disk is full; ends and deletions still work  (retryable)
    │   │   ├── KeyServiceUnavailable  KMS is away, or the key of a domain is disabled there  (retryable)
    │   │   └── AnotherProcessServes  another `earwitness serve` works on these records  (retryable)
    │   ├── SchemaTooNew              the records were written by a newer version
    │   └── InstallationIncomplete    records, master key or media are missing or belong to others; nothing was written
    ├── SourceError                   where a task's media comes from
    │   ├── StreamGone                the stream is deleted, or never was
    │   ├── SourceRefused             AWS does not let us read it, or never will
    │   └── SourceUnavailable         it cannot be read now  (retryable)
    ├── FragmentLogError              the media log
    │   └── FragmentLogUnavailable    its disk is full, failing or taken, or it is closing; try again later  (retryable)
    ├── SinkError                     where events go
    │   ├── SinkUnavailable           away, slow, throttling or failing; try again later  (retryable)
    │   └── SinkRefused               it does not exist, does not let us in, or never takes this event
    ├── TestingError                  a service for tests
    │   ├── ScriptInvalid             a verdict, a failure or a turn of its clock that makes no sense
    │   └── ServiceNotStarted         it did not start, or it is gone
    ├── DoorError                     what a phone system sent
    │   ├── SipUnreadable             bytes that are no SIP message which could be answered
    │   ├── BodyNotUsable             a body of a type or coding that is not read
    │   ├── SessionDescriptionInvalid  a session description (SDP) that cannot be read
    │   ├── MediaNotAcceptable        no line of it has audio that is taken here
    │   └── RecordingMetadataInvalid  recording metadata (RFC 7865) that cannot be read, or are not safe to
    └── AskingError                   a command that asks a running service
        ├── ServiceUnreachable        nothing answers at its address  (retryable)
        ├── ServiceUntrusted          its certificate is not trusted here, or is of another name
        ├── CallNotPlaced             nothing listens at a door's address, or it does not take the call
        └── ServiceRefused            it answered with an error

A message says what happened and, after it, what to do next. It never holds personal data: no audio, vector,
phone number or name of a person; file names are the caller's own and may appear.
Put a new class in this drawing first.
"""

import math


class EarwitnessError(Exception):
    """Base of all errors raised on purpose; `retryable` says whether the same call may succeed later."""

    retryable = False


class ConfigurationError(EarwitnessError):
    """A setting cannot be read or has a value outside its range."""


class AudioError(EarwitnessError):
    """The recording cannot be used."""


class AudioUnreadable(AudioError):
    """The file is empty, no audio, or in an encoding we do not decode."""


class AudioTruncated(AudioError):
    """The file ends before the length its header declares."""


class AudioTooLong(AudioError):
    """So much of the recording was decoded without enough speech that no more of it is."""


class ChannelNotChosen(AudioError):
    """The recording has several channels and the caller named none, or one that does not exist."""


class RateUnsupported(AudioError):
    """The sample rate is outside 8 to 48 kHz."""


class AudioNotFinite(AudioError):
    """A sample is NaN or infinite."""


class MatroskaInvalid(AudioError):
    """The bytes are not Matroska, or break its rules."""


class MediaIncompatible(AudioError):
    """The stream's audio cannot be decoded here, or it does not hold the channel that was asked for."""


class SpeechError(EarwitnessError):
    """The recording is readable, its speech is not usable."""


class NotEnoughSpeech(SpeechError):
    """Less net speech than the operation needs. Both durations are in seconds of net speech."""

    def __init__(self, *, have_seconds: float, need_seconds: float) -> None:
        self.have_seconds = have_seconds
        self.need_seconds = need_seconds
        super().__init__(self._describe())

    def _describe(self) -> str:
        have = math.floor(10 * self.have_seconds) / 10  # 2.97 must not read "3.0 found, 3 needed"
        return (
            f"only {have:.1f} s of speech were found and {self.need_seconds:.0f} s are needed; "
            f"give a longer recording (silence does not count)"
        )


class NoSpeech(NotEnoughSpeech):
    """No speech at all: silence, music, tones or noise."""

    def __init__(self, *, need_seconds: float) -> None:
        super().__init__(have_seconds=0.0, need_seconds=need_seconds)

    def _describe(self) -> str:
        return (
            f"no speech was found ({self.need_seconds:.0f} s are needed); check that this is the right channel "
            f"and not silence, music or tones"
        )


class SpeechTooPoor(SpeechError):
    """There is enough speech, but enrolling it would spoil the profile."""


class SeveralVoices(SpeechTooPoor):
    """The speech is of more than one voice, and would be enrolled as one person, or compared as one."""


class ModelError(EarwitnessError):
    """A voice model cannot be used on this machine."""


class ModelMissing(ModelError):
    """The model has not been pulled yet."""


class ModelFetchFailed(ModelError):
    """The package that holds the model could not be fetched."""

    retryable = True


class ModelDamaged(ModelError):
    """A file's hash differs from the one in the catalogue, or from the one recorded when it was made."""


class WeightsRefused(ModelError):
    """The weights file asks to load something that is not a tensor."""


class CacheUnwritable(ModelError):
    """The models' folder cannot be written."""


class GalleryError(EarwitnessError):
    """The enrolled voices cannot be used."""


class GalleryUnreadable(GalleryError):
    """The file is no gallery, or it is damaged."""


class GalleryUnwritable(GalleryError):
    """The gallery file cannot be written."""


class GalleryOfAnotherModel(GalleryError):
    """The embeddings were made by another encoder, in another band or with another compensation."""


class ProfileNotFound(GalleryError):
    """The gallery holds nobody by that name."""


class EvaluationError(EarwitnessError):
    """An evaluation cannot be run."""


class ManifestInvalid(EvaluationError):
    """The manifest or trial list is malformed, or names files that are not there."""


class TooFewSpeakers(EvaluationError):
    """There are too few speakers or trials to measure or fit anything."""


class LabelsDoubtful(EvaluationError):
    """Recordings are copies of each other, or their voices contradict their labels."""


class RequirementInvalid(EvaluationError):
    """A --require expression is malformed or names an unknown quantity."""


class RequestError(EarwitnessError):
    """A request that gets no result. Which status and class the client sees is the wire room's business."""


class BadRequest(RequestError):
    """The input is malformed or outside its documented constraints."""


class BodyTooLarge(BadRequest):
    """The body is longer than this server takes."""


class Unauthorized(RequestError):
    """The key is unknown or disabled, or the signature is bad or stale."""


class Forbidden(RequestError):
    """The key is good and its role may not do this."""


class ConsentMissing(Forbidden):
    """The person whose voice it is has not consented to what is asked for, or has withdrawn the consent."""


class NotFound(RequestError):
    """The resource does not exist in the caller's account and Region."""


class Conflict(RequestError):
    """The request clashes with the resource's present state."""


class ChangedMeanwhile(Conflict):
    """The resource has another state than this change read a moment ago. Made again, the change reads the new one."""


class Gone(RequestError):
    """The resource existed and is deleted for good."""


class Unprocessable(RequestError):
    """The request is well-formed and makes no sense for this resource."""


class LimitExceeded(RequestError):
    """A quota of the account is reached."""


class AlreadyExists(RequestError):
    """A stream of that name exists."""


class VersionMismatch(RequestError):
    """The stream changed since the caller read its version."""


class Throttled(RequestError):
    """Too many requests with this key or for this stream; `retry_after_seconds` says when to come back, if known."""

    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class Unavailable(RequestError):
    """The service cannot answer now: store away, draining, or over capacity."""

    retryable = True


class UnknownOperation(RequestError):
    """No operation of the service has this method and path."""


class NotServed(RequestError):
    """AWS has this operation and earwitness does not."""


class TokenReused(RequestError):
    """A request token was used before, for a request that asked for something else."""


class PutMediaFailed(EarwitnessError):
    """The service refused a producer's media."""


class AnotherProducer(PutMediaFailed):
    """Somebody else sends to the stream, or a former connection of ours is not yet given up by the service."""


class PutMediaInterrupted(PutMediaFailed):
    """The connection of a producer broke, or the service cannot take media now."""

    retryable = True


class VaultError(EarwitnessError):
    """Something encrypted cannot be used."""


class MasterKeyInvalid(VaultError):
    """The master key cannot be read, or is not the one the data was written under."""


class CiphertextRefused(VaultError):
    """A ciphertext is damaged, stands in another row than it was made for, or its key was destroyed."""


class SignatureInvalid(VaultError):
    """A document does not fit its signature, or has none; or a public key is none."""


class ArchiveInvalid(EarwitnessError):
    """An export is damaged, cut off, no export at all, or for another key."""


class AuditPlaceUnavailable(EarwitnessError):
    """The place of checkpoints and expired entries of the audit trail cannot be read or written now."""

    retryable = True


class BucketUnavailable(EarwitnessError):
    """A bucket of S3 cannot be reached, or refuses what is asked of it."""

    retryable = True


class BackupError(EarwitnessError):
    """A backup cannot be made, used or put back."""


class BackupInvalid(BackupError):
    """A backup or a ledger is damaged, cut short, of other records, or for another key."""


class BackupPlaceUnavailable(BackupError):
    """Where backups lie cannot be reached, read or written."""

    retryable = True


class RestoreRefused(BackupError):
    """Nothing was restored: something is there already, or deleted voices could come back."""


class StoreError(EarwitnessError):
    """The records cannot be used."""


class AttemptSuperseded(StoreError):
    """The task was taken over by another worker or is gone; whoever hears this drops its work on it."""


class StoreUnavailable(StoreError):
    """The database is away, locked past a limit, or its disk is full."""

    retryable = True


class StoreDamaged(StoreUnavailable):
    """The database is damaged, or another one than earwitness wrote."""


class RecordDamaged(StoreUnavailable):
    """A row holds what nobody can have written. Others can be read."""


class StoreBusy(StoreUnavailable):
    """The database is locked, and the event loop must not wait for it: read again in another thread."""


class StoreFull(StoreUnavailable):
    """The disk of the records is full. What ends or deletes something uses a reserve and still works."""


class KeyServiceUnavailable(StoreUnavailable):
    """A key at KMS cannot be used now: KMS is away, or the key is disabled. What is under it cannot be read."""


class AnotherProcessServes(StoreUnavailable):
    """Another process serves these records: this one does not start, or has lost its place and stops."""


class SchemaTooNew(StoreError):
    """The records were written by a newer version of earwitness."""


class InstallationIncomplete(StoreError):
    """Records, master key or media are missing, cannot be written or do not belong together; nothing was written."""


class SourceError(EarwitnessError):
    """A stream cannot be read."""


class StreamGone(SourceError):
    """The stream is deleted, or there never was one of this ARN."""


class SourceRefused(SourceError):
    """AWS does not let us read the stream, or refuses the request as it is."""


class SourceUnavailable(SourceError):
    """The stream cannot be read now."""

    retryable = True


class FragmentLogError(EarwitnessError):
    """The media log cannot be used."""


class FragmentLogUnavailable(FragmentLogError):
    """The disk of the media log is full, fails or is in another process's hands, or the log is closing."""

    retryable = True


class SinkError(EarwitnessError):
    """An event could not be delivered."""


class SinkUnavailable(SinkError):
    """The sink is away, slow, throttling or failing. `retry_after_seconds` is what it asked for, if it did."""

    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class SinkRefused(SinkError):
    """The sink does not exist, does not let us in, or never takes this event."""


class TestingError(EarwitnessError):
    """A service for tests cannot do what a test asks for."""


class ScriptInvalid(TestingError):
    """A verdict, a failure or a turn of the clock makes no sense. The message says what to do first."""


class ServiceNotStarted(TestingError):
    """A service for tests did not start, or it is gone. The message says why, and where its log is."""


class DoorError(EarwitnessError):
    """What a phone system sent cannot be taken."""


class SipUnreadable(DoorError):
    """The bytes are no SIP message, or one that cannot even be answered."""


class BodyNotUsable(DoorError):
    """The body has a type or coding that is not read; send a session description, with or without metadata."""


class SessionDescriptionInvalid(DoorError):
    """The session description breaks the rules of SDP."""


class MediaNotAcceptable(DoorError):
    """No line of the session description has audio that is taken here."""


class RecordingMetadataInvalid(DoorError):
    """The recording metadata are malformed, too large, or have a document type or entities."""


class AskingError(EarwitnessError):
    """A running service gave a command no result."""


class ServiceUnreachable(AskingError):
    """Nothing answers at the service's address."""

    retryable = True


class ServiceUntrusted(AskingError):
    """Something answers at the service's address, with a certificate that we do not trust."""


class CallNotPlaced(AskingError):
    """Nothing listens at a door's address, or the door does not take the call."""


class ServiceRefused(AskingError):
    """The service answered with an error, which its message repeats; `status` is that of HTTP."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        self.retryable = status in {429, 503}
        super().__init__(message)
