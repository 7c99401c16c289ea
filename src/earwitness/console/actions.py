"""Every action of the console, and every form that brings a file: who may use it, where it is, what does the work.

The tables are as those of `pages`: the application is made of them, and the tests run through them.
"""

from dataclasses import dataclass

from earwitness.console.consent import (
    record_action,
    require_action,
    withdraw_action,
)
from earwitness.console.context import ActionHandler, UploadHandler, roles_of
from earwitness.console.domain_calibration import (
    INSTALL_LIMIT,
    compare_upload,
    install_action,
    use_action,
)
from earwitness.console.domains import (
    delete_profile_action,
    remove_voiceprint_action,
    roll_back_action,
)
from earwitness.console.evaluation import end_action, start_upload
from earwitness.console.events import replay_action, replay_all_action
from earwitness.console.forms import FORM_LIMIT
from earwitness.console.labels import (
    LabelCall,
    label_action,
    take_back_action,
)
from earwitness.console.retention import schedule_action
from earwitness.console.trying import TriedRecording, enrol_upload, identify_upload
from earwitness.rest.calibration_models import CalibrationForm, CompareCalibration, UseCalibration
from earwitness.rest.consent_parameters import ConsentForm, RequireConsent, WithdrawalForm
from earwitness.rest.evaluation_parameters import EndEvaluation, StartEvaluation
from earwitness.rest.label_parameters import DeleteLabel
from earwitness.rest.parameters import (
    DeleteProfile,
    Parameters,
    RemoveVoiceprint,
    ReplayEvent,
    ReplayEvents,
    RollBackProfile,
)
from earwitness.rest.retention_models import PutRetention
from earwitness.server.body import BodyLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAction:
    """What one form does."""

    #: Behind the Region, parameters in braces; a page at the same path may ask whether one is sure.
    path: str
    #: The operation of the APIs that it is, in the audit trail too; its roles count.
    operation: str
    #: Of path and form.
    parameters: type[Parameters]
    handler: ActionHandler
    #: Of the form, from those who may do it; from others FORM_LIMIT.
    limit: BodyLimit = FORM_LIMIT

    @property
    def roles(self) -> frozenset[str]:
        """Return who may do it."""
        return roles_of(self.operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleUpload:
    """What one form that brings a file does. It shows a page, which nothing else leads to, or leads to another."""

    #: Behind the Region.
    path: str
    #: Whence its form comes.
    back: str
    title: str
    #: The operation of the JSON API that it is; its roles count.
    operation: str
    parameters: type[Parameters]
    handler: UploadHandler
    template: str = ""
    styles: tuple[str, ...] = ()
    is_live: bool = False
    scripts: tuple[str, ...] = ()
    #: Whether it brings labelled calls, and not one recording.
    brings_calls: bool = False

    @property
    def roles(self) -> frozenset[str]:
        """Return who may do it."""
        return roles_of(self.operation)

    @property
    def below(self) -> str:
        """Return the page of the navigation that it belongs to."""
        return self.back


ACTIONS: tuple[ConsoleAction, ...] = (
    ConsoleAction(
        path="/domains/{domainId}/consent",
        operation="RequireConsent",
        parameters=RequireConsent,
        handler=require_action,
    ),
    ConsoleAction(
        path="/domains/{domainId}/consents", operation="RecordConsent", parameters=ConsentForm, handler=record_action
    ),
    ConsoleAction(
        path="/domains/{domainId}/withdrawals",
        operation="WithdrawConsents",
        parameters=WithdrawalForm,
        handler=withdraw_action,
    ),
    ConsoleAction(
        path="/domains/{domainId}/calibration/install",
        operation="InstallCalibration",
        parameters=CalibrationForm,
        handler=install_action,
        limit=INSTALL_LIMIT,
    ),
    ConsoleAction(
        path="/domains/{domainId}/calibration/use",
        operation="UseCalibration",
        parameters=UseCalibration,
        handler=use_action,
    ),
    ConsoleAction(path="/tasks/{taskId}/label", operation="PutLabel", parameters=LabelCall, handler=label_action),
    ConsoleAction(
        path="/tasks/{taskId}/label/delete", operation="DeleteLabel", parameters=DeleteLabel, handler=take_back_action
    ),
    ConsoleAction(
        path="/profiles/{profileId}/delete",
        operation="DeleteProfile",
        parameters=DeleteProfile,
        handler=delete_profile_action,
    ),
    ConsoleAction(
        path="/profiles/{profileId}/voiceprints/{voiceprintId}/remove",
        operation="RemoveVoiceprint",
        parameters=RemoveVoiceprint,
        handler=remove_voiceprint_action,
    ),
    ConsoleAction(
        path="/profiles/{profileId}/voiceprints/{voiceprintId}/roll-back",
        operation="RollBackProfile",
        parameters=RollBackProfile,
        handler=roll_back_action,
    ),
    ConsoleAction(
        path="/domains/{domainId}/retention",
        operation="PutRetention",
        parameters=PutRetention,
        handler=schedule_action,
    ),
    ConsoleAction(
        path="/events/{eventId}/replay", operation="ReplayEvent", parameters=ReplayEvent, handler=replay_action
    ),
    ConsoleAction(path="/evaluate/end", operation="EndEvaluation", parameters=EndEvaluation, handler=end_action),
    ConsoleAction(path="/events/replay", operation="ReplayEvents", parameters=ReplayEvents, handler=replay_all_action),
)

UPLOADS: tuple[ConsoleUpload, ...] = (
    ConsoleUpload(
        path="/try/identify",
        back="/try",
        title="Who speaks",
        operation="SearchRecording",
        parameters=TriedRecording,
        handler=identify_upload,
        template="tried.html",
        styles=("calls.css",),
    ),
    ConsoleUpload(
        path="/try/enrol",
        back="/try",
        title="Enrol",
        operation="EnrolRecording",
        parameters=TriedRecording,
        handler=enrol_upload,
    ),
    ConsoleUpload(
        path="/domains/{domainId}/calibration/compare",
        back="/domains",
        title="Before and after",
        operation="CompareCalibration",
        parameters=CompareCalibration,
        handler=compare_upload,
        template="calibration_compared.html",
    ),
    ConsoleUpload(
        path="/evaluate/start",
        back="/evaluate",
        title="Evaluate",
        operation="StartEvaluation",
        parameters=StartEvaluation,
        handler=start_upload,
        brings_calls=True,
    ),
)
"""Forms that bring a file: a recording, a calibration, or the calls of an evaluation."""
