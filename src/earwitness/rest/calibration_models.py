"""What is asked and answered about the calibrations of domains."""

from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from earwitness.rest.label_models import ShareAnswer
from earwitness.rest.models import Answer, Moment
from earwitness.rest.parameters import DomainId, Identifier, Parameters, doc
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX

SERVICE = "service"
"""What the service's own calibration is called, where the id of a calibration is asked for."""

_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Seen: TypeAlias = Annotated[
    Annotated[int, Meta(ge=0, le=10**9)] | None,
    doc("The version that was in use when this was decided, 0 for none; refused when another is by now."),
]


class ListCalibrations(Parameters, kw_only=True):
    """What the searches of a domain rest on now, and the calibrations that it had before."""

    domain_id: DomainId


class CompareCalibration(Parameters, kw_only=True):
    """What a calibration would change in a domain; nothing is installed."""

    domain_id: DomainId


class InstallCalibration(Parameters, kw_only=True):
    """Have the searches of a domain rest on a calibration from now on."""

    domain_id: DomainId
    version: _Seen = None


class UseCalibration(Parameters, kw_only=True):
    """Go back to a calibration that the domain had, or to the service's own."""

    domain_id: DomainId
    calibration_id: Annotated[Identifier, doc(f"As the list of versions has it; `{SERVICE}` for the service's own.")]
    version: _Seen = None


class GetCalibration(Parameters, kw_only=True):
    """One calibration of a domain, as it can be installed: in use, of an earlier version, or the service's own."""

    domain_id: DomainId
    calibration_id: Annotated[Identifier, doc(f"As the list of versions has it; `{SERVICE}` for the service's own.")]


class CalibrationDocument(Answer, kw_only=True, rename=None):
    """A calibration, as `labels fit` and `evaluate --fit-calibration` write it; 64 KB at most."""

    format: str
    encoder_id: Annotated[str, doc("What it was fitted for: encoder, band and compensation.")]
    made_from: str
    persons: _Count
    sexes: Annotated[dict[str, _Count] | None, doc("How many persons are of each; null when nobody noted it.")]
    person_pairs: _Count | None
    trials: _Count
    unknown_line_margin: Annotated[float, Meta(ge=0, lt=1)]
    # `Any`: numbers, and points of (score, share).
    fits: Annotated[
        list[dict[str, Any]], doc("One for each duration: `net_seconds`, `slope`, `offset`, `false_match`.")
    ]


class CalibrationForm(Parameters, kw_only=True):
    """A calibration that was compared, as the console's form sends it back."""

    domain_id: DomainId
    document: Annotated[str, Meta(min_length=2, max_length=DOCUMENT_BYTES_MAX)]
    version: Annotated[int, Meta(ge=0, le=10**9)]


class CalibratedThresholdAnswer(Answer):
    """What a score has to reach in the domain, with so much speech."""

    net_seconds: Annotated[float, doc("Net speech of the call.")]
    score: Annotated[float, doc("The lowest score that is given a name, while nothing is known of the line.")]
    line_margin: Annotated[float, doc("How much lower it is, at most, on a line that was learnt.")]
    extrapolated: Annotated[bool, doc("True when it lies beyond the pairs that the curve was measured on.")]
    persons_needed: Annotated[_Count | None, doc("It would take so many to measure it; null: it was measured.")]


class CalibrationAnswer(Answer):
    """A calibration, and what it means in the domain as it is now."""

    calibration_id: Annotated[str, doc("As answers of searches name it: `calibration`.")]
    encoder_id: Annotated[str, doc("What it was fitted for: encoder, band and compensation.")]
    made_from: str
    persons: Annotated[_Count, doc("On whom it was measured.")]
    person_pairs: Annotated[_Count | None, doc("Pairs of persons that its curve counts; null: it counts recordings.")]
    trials: Annotated[_Count, doc("Pairs of recordings that its probabilities were fitted on.")]
    thresholds: Annotated[list[CalibratedThresholdAnswer], doc("By how much speech there is.")]


class CalibrationVersionAnswer(Answer):
    """What a domain was searched by from a time on."""

    number: _Count
    calibration: Annotated[CalibrationAnswer | None, doc("Null for the service's own.")]
    of_other_encoder: Annotated[bool, doc("Fitted for another encoder or band: it cannot count here.")]
    key_id: Annotated[str, doc("The key or token that installed it, or went back to it.")]
    created_at: Moment


class DomainCalibrationsAnswer(Answer):
    """What the searches of a domain rest on."""

    domain_id: str
    version: Annotated[_Count, doc("The version in use; 0 when none was ever installed.")]
    from_service: Annotated[bool, doc("Whether the service's own calibration is in use.")]
    in_use: CalibrationAnswer
    service: Annotated[CalibrationAnswer, doc("The service's own: of its setting `calibration_file`, else shipped.")]
    voiceprints: Annotated[_Count, doc("Of the domain: thresholds rise with their number.")]
    strangers_named_percent: Annotated[float, doc("At most this share of strangers is to be named.")]
    advice: Annotated[str | None, doc("What to do, for people; null when nothing is.")]
    versions: Annotated[list[CalibrationVersionAnswer], doc("The latest first; at most 20 are kept.")]


class DecidedAgainAnswer(Answer):
    """Labelled calls, as the calibration in use and the other one decide them, from the scores of then."""

    calls: Annotated[_Count, doc("With a label that says who spoke.")]
    before: Annotated[ShareAnswer, doc("How many answers are right, of those of which the label says it.")]
    after: ShareAnswer
    put_right: Annotated[_Count, doc("Calls that are decided wrongly before, and rightly after.")]
    put_wrong: Annotated[_Count, doc("The other way round.")]


class LabelComparisonAnswer(Answer):
    """What people's labels say of a change."""

    matches: Annotated[DecidedAgainAnswer, doc("Calls in which the search named somebody then.")]
    no_matches: Annotated[DecidedAgainAnswer, doc("Calls in which it named nobody.")]
    unsure: Annotated[_Count, doc("Labels that say nothing.")]
    cautions: Annotated[list[str], doc("What cannot be concluded, and what to do.")]


class CalibrationComparisonAnswer(Answer):
    """What a calibration would change in a domain."""

    domain_id: str
    version: Annotated[_Count, doc("The version in use; 0 when none was ever installed.")]
    voiceprints: Annotated[_Count, doc("Of the domain: thresholds rise with their number.")]
    strangers_named_percent: Annotated[float, doc("At most this share of strangers is to be named.")]
    from_service: Annotated[bool, doc("Whether `before` is the service's own.")]
    before: CalibrationAnswer
    after: CalibrationAnswer
    labels: Annotated[LabelComparisonAnswer | None, doc("Null where no call of the domain is labelled.")]
