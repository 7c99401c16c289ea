"""Calibrations of domains: shown, compared, installed while the service runs, and taken back."""

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from earwitness.errors import NotFound, Unprocessable
from earwitness.rest.calibration_models import (
    SERVICE,
    CalibratedThresholdAnswer,
    CalibrationAnswer,
    CalibrationComparisonAnswer,
    CalibrationDocument,
    CalibrationVersionAnswer,
    CompareCalibration,
    DecidedAgainAnswer,
    DomainCalibrationsAnswer,
    GetCalibration,
    InstallCalibration,
    LabelComparisonAnswer,
    ListCalibrations,
    UseCalibration,
)
from earwitness.rest.context import RestCall, RestContext, answer_of
from earwitness.rest.domains import domain_of
from earwitness.rest.labels import share_answer
from earwitness.store.calibrations import CalibrationVersion
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.tasks.labelled import labelled_calls

if TYPE_CHECKING:  # with numpy, which a start need not wait for
    from earwitness.engine.calibration import Calibration
    from earwitness.evaluation.decided_again import DecidedAgain

_Call: TypeAlias = RestCall[
    ListCalibrations | GetCalibration | CompareCalibration | InstallCalibration | UseCalibration
]

_OF_OTHER_ENCODER = (
    "the calibration that was installed last was fitted for another encoder, so the service's own counts; fit it "
    "again, or go back: `earwitness calibration use service --domain {}`"
)

_NO_CALIBRATION = (
    "the domain has had no calibration of this id, or it is kept no longer; `earwitness calibration list` and GET "
    "/domains/{domainId}/calibrations list what there is"
)


def list_calibrations(context: RestContext, call: RestCall[ListCalibrations]) -> DomainCalibrationsAnswer:
    """Show what the searches of a domain rest on, and what they rested on before."""
    return _Shown(context, call).answer()


def get_calibration(context: RestContext, call: RestCall[GetCalibration]) -> CalibrationDocument:
    """Return one calibration that a domain has or had, or the service's own, as it can be installed."""
    from earwitness.engine.calibration import calibration_bytes

    found = _Shown(context, call).kept(call.params.calibration_id)
    return msgspec.json.decode(calibration_bytes(found), type=CalibrationDocument)


def compare_calibration(context: RestContext, call: RestCall[CompareCalibration]) -> CalibrationComparisonAnswer:
    """Say what a calibration would change in a domain."""
    from earwitness.tasks.calibrations import calibration_of, judged

    shown = _Shown(context, call)
    after, _ = judged(call.body, shown.own)
    version = context.store.calibrations.current(call.scope, shown.domain.domain_id)
    before = calibration_of(version, shown.own)
    return CalibrationComparisonAnswer(
        domain_id=shown.domain.domain_id,
        version=0 if version is None else version.number,
        voiceprints=shown.basis.voiceprints,
        strangers_named_percent=shown.basis.strangers_named_percent,
        from_service=before is shown.own,
        before=shown.calibration(before),
        after=shown.calibration(after),
        labels=_by_labels(context, call, shown.domain, before=before, after=after),
    )


def _by_labels(
    context: RestContext,
    call: RestCall[CompareCalibration],
    domain: VoiceProfileDomain,
    *,
    before: "Calibration",
    after: "Calibration",
) -> LabelComparisonAnswer | None:
    """Return what labels say of a change, and write into the audit trail who has asked; None without labels."""
    from earwitness.evaluation.decided_again import compare_by_labels

    found = compare_by_labels(labelled_calls(context.store, call.scope, domain.domain_id), before=before, after=after)
    if found is None:
        return None
    context.store.write(lambda unit: call.caller.record(unit, domain.arn))
    return answer_of(
        LabelComparisonAnswer,
        found,
        matches=_decided_again(found.matches),
        no_matches=_decided_again(found.no_matches),
        cautions=list(found.cautions),
    )


def _decided_again(found: "DecidedAgain") -> DecidedAgainAnswer:
    return answer_of(DecidedAgainAnswer, found, before=share_answer(found.before), after=share_answer(found.after))


def install_calibration(context: RestContext, call: RestCall[InstallCalibration]) -> DomainCalibrationsAnswer:
    """Install a calibration in a domain."""
    from earwitness.tasks.calibrations import judged

    shown = _Shown(context, call)
    calibration, document = judged(call.body, shown.own)

    def work(unit: Unit) -> None:
        unit.calibrations.install(
            call.scope,
            shown.domain.domain_id,
            calibration_id=calibration.id,
            encoder_id=calibration.encoder_id,
            document=document,
            key_id=call.caller.principal.key_id,
            seen=call.params.version,
        )
        _record(unit, call, shown.domain, calibration.id)

    context.store.write(work)
    return shown.answer()


def use_calibration(context: RestContext, call: RestCall[UseCalibration]) -> DomainCalibrationsAnswer:
    """Go back to an earlier calibration of a domain, or to the service's own."""
    shown, wanted = _Shown(context, call), call.params.calibration_id
    domain_id, key_id, seen = shown.domain.domain_id, call.caller.principal.key_id, call.params.version

    shown.require_usable(wanted)

    def work(unit: Unit) -> None:
        if wanted == SERVICE:
            unit.calibrations.use_service(call.scope, domain_id, key_id=key_id, seen=seen)
        elif unit.calibrations.use_again(call.scope, domain_id, wanted, key_id=key_id, seen=seen) is None:
            raise NotFound(_NO_CALIBRATION)
        _record(unit, call, shown.domain, wanted)

    context.store.write(work)
    return shown.answer()


class _Shown:
    """A domain whose calibrations are shown, with what their thresholds depend on."""

    def __init__(self, context: RestContext, call: _Call) -> None:
        """Raise NotFound without the domain, ModelError when its models cannot be used."""
        self._store, self._scope = context.store, call.scope
        self.domain = domain_of(context, call)
        self.basis = context.recordings.search_basis(call.scope, self.domain)
        self.own = self.basis.own

    def answer(self) -> DomainCalibrationsAnswer:
        """Return what the domain has now, and what it had."""
        from earwitness.tasks.calibrations import calibration_of, is_of_other_encoder

        versions = self._store.calibrations.versions(self._scope, self.domain.domain_id)
        current = versions[0] if versions else None
        in_use = calibration_of(current, self.own)
        is_off = is_of_other_encoder(current, self.own)
        return DomainCalibrationsAnswer(
            domain_id=self.domain.domain_id,
            version=0 if current is None else current.number,
            from_service=in_use is self.own,
            in_use=self.calibration(in_use),
            service=self.calibration(self.own),
            voiceprints=self.basis.voiceprints,
            strangers_named_percent=self.basis.strangers_named_percent,
            advice=_OF_OTHER_ENCODER.format(self.domain.domain_id) if is_off else None,
            versions=[self._version(one) for one in versions],
        )

    def kept(self, calibration_id: str) -> "Calibration":
        """Return a calibration that is kept, of whatever encoder, or the service's own. Raise NotFound."""
        from earwitness.tasks.calibrations import parsed

        if calibration_id == SERVICE:
            return self.own
        for version in self._store.calibrations.versions(self._scope, self.domain.domain_id):
            if version.calibration_id == calibration_id and version.document is not None:
                return parsed(version.document)
        raise NotFound(_NO_CALIBRATION)

    def require_usable(self, calibration_id: str) -> None:
        """Raise Unprocessable for a former calibration of the domain that was fitted for another encoder or band."""
        from earwitness.tasks.calibrations import is_of_other_encoder

        for version in self._store.calibrations.versions(self._scope, self.domain.domain_id):
            if version.calibration_id == calibration_id and is_of_other_encoder(version, self.own):
                raise Unprocessable(
                    "the calibration was fitted for another encoder or band, so it cannot count here; fit one anew, or "
                    f"go back to `{SERVICE}`"
                )

    def calibration(self, calibration: "Calibration") -> CalibrationAnswer:
        """Return a calibration with the thresholds that it means in this domain."""
        thresholds: list[CalibratedThresholdAnswer] = []
        for fit in calibration.fits:
            found = calibration.threshold(
                gallery_size=self.basis.voiceprints,
                strangers_named_percent=self.basis.strangers_named_percent,
                net_seconds=fit.net_seconds,
                line_unknown=1.0,
            )
            thresholds.append(answer_of(CalibratedThresholdAnswer, found, net_seconds=fit.net_seconds))
        return answer_of(CalibrationAnswer, calibration, calibration_id=calibration.id, thresholds=thresholds)

    def _version(self, version: CalibrationVersion) -> CalibrationVersionAnswer:
        from earwitness.tasks.calibrations import is_of_other_encoder, parsed

        return answer_of(
            CalibrationVersionAnswer,
            version,
            calibration=None if version.document is None else self.calibration(parsed(version.document)),
            of_other_encoder=is_of_other_encoder(version, self.own),
        )


def _record(
    unit: Unit, call: RestCall[InstallCalibration | UseCalibration], domain: VoiceProfileDomain, calibration_id: str
) -> None:
    """Write into the audit trail who had which calibration be used."""
    replace(call.caller, operation=f"{call.caller.operation} {calibration_id}").record(unit, domain.arn)
