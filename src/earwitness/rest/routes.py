"""Every route of the API: who may call it, what it takes, what it answers, what does the work.

The table is all there is: the application and the OpenAPI document are made of it, and the tests run through it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from earwitness import __version__
from earwitness.access.roles import Role
from earwitness.rest.audit import get_checkpoints, list_audit
from earwitness.rest.audit_models import AuditAnswer, CheckpointsAnswer
from earwitness.rest.audit_parameters import GetCheckpoints, ListAudit
from earwitness.rest.calibration_models import (
    CalibrationComparisonAnswer,
    CalibrationDocument,
    CompareCalibration,
    DomainCalibrationsAnswer,
    GetCalibration,
    InstallCalibration,
    ListCalibrations,
    UseCalibration,
)
from earwitness.rest.calibrations import (
    compare_calibration,
    get_calibration,
    install_calibration,
    list_calibrations,
    use_calibration,
)
from earwitness.rest.certificate_models import CertificateAnswer, GetCertificate
from earwitness.rest.certificates import get_certificate
from earwitness.rest.connectors import announce_call, get_door, list_calls, put_door
from earwitness.rest.consent_models import ConsentAnswer, HeldAnswer, WithdrawalAnswer
from earwitness.rest.consent_parameters import (
    GetWithdrawal,
    NamedSubject,
    RecordConsent,
    RecordedConsent,
    ReportSubject,
    RequireConsent,
    WithdrawConsents,
)
from earwitness.rest.consents import record_consent, require_consent
from earwitness.rest.context import RestCall, RestContext, RestHandler
from earwitness.rest.domains import (
    create_domain,
    delete_domain,
    delete_profile,
    get_profile,
    list_domains,
    list_profiles,
    remove_voiceprint,
    roll_back_profile,
)
from earwitness.rest.doors import get_doors
from earwitness.rest.exports import create_export, delete_archive, fetch_archive
from earwitness.rest.job_models import JobAnswer, JobItemAnswer, JobItemsAnswer, JobsAnswer
from earwitness.rest.jobs import cancel_job, create_job, get_job, list_items, list_jobs, put_item
from earwitness.rest.label_models import (
    LabelAnswer,
    LabelledCallsAnswer,
    LabelReportAnswer,
    LookBackAnswer,
    UnlabelledAnswer,
)
from earwitness.rest.label_parameters import (
    DeleteLabel,
    DrawUnlabelled,
    GetLabel,
    GetLabelReport,
    ListLabels,
    LookBack,
    LookBackForProfile,
    PutLabel,
)
from earwitness.rest.labels import delete_label, draw_unlabelled, get_label, get_label_report, list_labels, put_label
from earwitness.rest.lines import get_lines, reset_lines, revert_line, switch_lines
from earwitness.rest.look_back import look_back, look_back_for_profile
from earwitness.rest.models import (
    AnnouncedCallAnswer,
    Answer,
    CallsAnswer,
    DomainAnswer,
    DomainsAnswer,
    DoorAnswer,
    DoorsAnswer,
    EnrolledProfileAnswer,
    ErrorAnswer,
    EventAnswer,
    EventsAnswer,
    FindingsAnswer,
    LinesAnswer,
    OpenApi,
    ProfileAnswer,
    ProfilesAnswer,
    ReplayAnswer,
    ReplaysAnswer,
    StatusAnswer,
    TaskAnswer,
    TasksAnswer,
)
from earwitness.rest.parameters import (
    AnnounceCall,
    CancelJob,
    ChangedDoor,
    CreateDomain,
    CreateExport,
    CreateJob,
    DeleteArchive,
    DeleteDomain,
    DeleteProfile,
    EnrolRecording,
    FetchArchive,
    GetDoor,
    GetDoors,
    GetEvent,
    GetJob,
    GetLines,
    GetOpenApi,
    GetProfile,
    GetStatus,
    GetTask,
    ListCalls,
    ListDomainProfiles,
    ListDomains,
    ListEvents,
    ListFindings,
    ListJobItems,
    ListJobs,
    ListTasks,
    PutDoor,
    PutJobItem,
    RemoveVoiceprint,
    ReplayEvent,
    ReplayEvents,
    ResetLines,
    RevertLine,
    RollBackProfile,
    Schema,
    SearchRecording,
    SwitchLines,
)
from earwitness.rest.recording_models import RecordingSearchAnswer
from earwitness.rest.recordings import enrol_recording, list_findings, search_domain
from earwitness.rest.retention import get_retention, list_expiry_runs, put_retention
from earwitness.rest.retention_models import (
    ExpiryAnswer,
    GetRetention,
    ListExpiryRuns,
    PutRetention,
    RetentionAnswer,
)
from earwitness.rest.tasks import get_event, get_status, get_task, list_events, list_tasks, replay_event, replay_events
from earwitness.rest.withdrawals import get_withdrawal, report_subject, withdraw_consents
from earwitness.voice.limits import measured_limits

PREFIX = "/earwitness/v1"

_ANYBODY: frozenset[Role] = frozenset()
_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = frozenset({Role.ADMIN, Role.OPERATOR})
_READER = frozenset({Role.ADMIN, Role.OPERATOR, Role.READER})
_AUDITOR = frozenset({Role.ADMIN, Role.AUDITOR})


@dataclass(frozen=True, slots=True)
class RestRoute:
    """One route."""

    #: Who may call it; without any role, anybody may, without credentials.
    roles: frozenset[Role]
    method: str
    #: Behind PREFIX, parameters in braces.
    path: str
    #: Its name and its docstring are the operation's.
    parameters: type[msgspec.Struct]
    handler: RestHandler
    #: None for an OpenAPI document, and for a file.
    answer: type[Answer] | None
    #: Whether its body is an audio file.
    takes_recording: bool = False
    #: What its body holds as JSON; None where none is needed.
    body: type[msgspec.Struct] | None = None
    #: The type of the file that it answers; empty for JSON.
    file_type: str = ""

    @property
    def operation(self) -> str:
        """What it is called in the audit trail and in generated clients."""
        return self.parameters.__name__


def get_openapi(_context: RestContext, _call: RestCall[Any]) -> OpenApi:  # `Any`: it has no parameters
    """Return the OpenAPI document."""
    return openapi()


ROUTES: tuple[RestRoute, ...] = (
    RestRoute(_ANYBODY, "GET", "/openapi.json", GetOpenApi, get_openapi, None),
    RestRoute(_OPERATOR, "GET", "/status", GetStatus, get_status, StatusAnswer),
    RestRoute(_OPERATOR, "GET", "/doors", GetDoors, get_doors, DoorsAnswer),
    RestRoute(_READER, "GET", "/tasks", ListTasks, list_tasks, TasksAnswer),
    RestRoute(_READER, "GET", "/tasks/{taskId}", GetTask, get_task, TaskAnswer),
    RestRoute(_READER, "GET", "/tasks/{taskId}/label", GetLabel, get_label, LabelAnswer),
    RestRoute(_OPERATOR, "PUT", "/tasks/{taskId}/label", PutLabel, put_label, LabelAnswer),
    RestRoute(_OPERATOR, "DELETE", "/tasks/{taskId}/label", DeleteLabel, delete_label, LabelAnswer),
    RestRoute(_OPERATOR, "POST", "/tasks/{taskId}/look-back", LookBack, look_back, LookBackAnswer),
    RestRoute(
        _OPERATOR, "POST", "/profiles/{profileId}/look-back", LookBackForProfile, look_back_for_profile, LookBackAnswer
    ),
    RestRoute(_READER, "GET", "/domains/{domainId}/labels", ListLabels, list_labels, LabelledCallsAnswer),
    RestRoute(_READER, "GET", "/domains/{domainId}/labels/report", GetLabelReport, get_label_report, LabelReportAnswer),
    RestRoute(_READER, "GET", "/domains/{domainId}/labels/draw", DrawUnlabelled, draw_unlabelled, UnlabelledAnswer),
    RestRoute(_AUDITOR, "GET", "/audit", ListAudit, list_audit, AuditAnswer),
    RestRoute(_AUDITOR, "GET", "/audit/checkpoints", GetCheckpoints, get_checkpoints, CheckpointsAnswer),
    RestRoute(_READER, "GET", "/events", ListEvents, list_events, EventsAnswer),
    RestRoute(_READER, "GET", "/events/{eventId}", GetEvent, get_event, EventAnswer),
    RestRoute(_OPERATOR, "POST", "/events/{eventId}/replay", ReplayEvent, replay_event, ReplayAnswer),
    RestRoute(_OPERATOR, "POST", "/events/replay", ReplayEvents, replay_events, ReplaysAnswer),
    RestRoute(_READER, "GET", "/calls", ListCalls, list_calls, CallsAnswer),
    RestRoute(_OPERATOR, "POST", "/calls", AnnounceCall, announce_call, AnnouncedCallAnswer),
    RestRoute(_ADMIN, "GET", "/connectors/{connectorId}/door", GetDoor, get_door, DoorAnswer),
    RestRoute(_ADMIN, "PUT", "/connectors/{connectorId}/door", PutDoor, put_door, DoorAnswer, body=ChangedDoor),
    RestRoute(_READER, "GET", "/domains", ListDomains, list_domains, DomainsAnswer),
    RestRoute(_ADMIN, "POST", "/domains", CreateDomain, create_domain, DomainAnswer),
    RestRoute(_ADMIN, "DELETE", "/domains/{domainId}", DeleteDomain, delete_domain, DomainAnswer),
    RestRoute(
        _ADMIN, "POST", "/consents/withdraw", WithdrawConsents, withdraw_consents, WithdrawalAnswer, body=NamedSubject
    ),
    RestRoute(_ADMIN, "POST", "/consents/report", ReportSubject, report_subject, HeldAnswer, body=NamedSubject),
    RestRoute(_ADMIN, "GET", "/withdrawals/{withdrawalId}", GetWithdrawal, get_withdrawal, WithdrawalAnswer),
    RestRoute(_ADMIN, "PUT", "/domains/{domainId}/consent", RequireConsent, require_consent, DomainAnswer),
    RestRoute(
        _OPERATOR,
        "POST",
        "/domains/{domainId}/consents",
        RecordConsent,
        record_consent,
        ConsentAnswer,
        body=RecordedConsent,
    ),
    RestRoute(_READER, "GET", "/domains/{domainId}/profiles", ListDomainProfiles, list_profiles, ProfilesAnswer),
    RestRoute(_OPERATOR, "GET", "/domains/{domainId}/findings", ListFindings, list_findings, FindingsAnswer),
    RestRoute(_READER, "GET", "/profiles/{profileId}", GetProfile, get_profile, ProfileAnswer),
    RestRoute(_OPERATOR, "DELETE", "/profiles/{profileId}", DeleteProfile, delete_profile, ProfileAnswer),
    RestRoute(
        _OPERATOR,
        "DELETE",
        "/profiles/{profileId}/voiceprints/{voiceprintId}",
        RemoveVoiceprint,
        remove_voiceprint,
        ProfileAnswer,
    ),
    RestRoute(_OPERATOR, "POST", "/profiles/{profileId}/roll-back", RollBackProfile, roll_back_profile, ProfileAnswer),
    RestRoute(_READER, "GET", "/domains/{domainId}/retention", GetRetention, get_retention, RetentionAnswer),
    RestRoute(_ADMIN, "PUT", "/domains/{domainId}/retention", PutRetention, put_retention, RetentionAnswer),
    RestRoute(_OPERATOR, "GET", "/certificates/{deletedId}", GetCertificate, get_certificate, CertificateAnswer),
    RestRoute(_OPERATOR, "GET", "/retention/runs", ListExpiryRuns, list_expiry_runs, ExpiryAnswer),
    RestRoute(_READER, "GET", "/domains/{domainId}/lines", GetLines, get_lines, LinesAnswer),
    RestRoute(_ADMIN, "PUT", "/domains/{domainId}/lines", SwitchLines, switch_lines, LinesAnswer),
    RestRoute(_ADMIN, "POST", "/domains/{domainId}/lines/reset", ResetLines, reset_lines, LinesAnswer),
    RestRoute(_ADMIN, "POST", "/domains/{domainId}/lines/revert", RevertLine, revert_line, LinesAnswer),
    RestRoute(
        _READER,
        "GET",
        "/domains/{domainId}/calibrations",
        ListCalibrations,
        list_calibrations,
        DomainCalibrationsAnswer,
    ),
    RestRoute(
        _READER,
        "GET",
        "/domains/{domainId}/calibrations/{calibrationId}",
        GetCalibration,
        get_calibration,
        CalibrationDocument,
    ),
    RestRoute(
        _ADMIN,
        "POST",
        "/domains/{domainId}/calibrations",
        InstallCalibration,
        install_calibration,
        DomainCalibrationsAnswer,
        body=CalibrationDocument,
    ),
    RestRoute(
        _ADMIN,
        "POST",
        "/domains/{domainId}/calibrations/compare",
        CompareCalibration,
        compare_calibration,
        CalibrationComparisonAnswer,
        body=CalibrationDocument,
    ),
    RestRoute(
        _ADMIN,
        "POST",
        "/domains/{domainId}/calibrations/use",
        UseCalibration,
        use_calibration,
        DomainCalibrationsAnswer,
    ),
    RestRoute(
        _OPERATOR,
        "POST",
        "/domains/{domainId}/profiles",
        EnrolRecording,
        enrol_recording,
        EnrolledProfileAnswer,
        takes_recording=True,
    ),
    RestRoute(
        _OPERATOR,
        "POST",
        "/domains/{domainId}/search",
        SearchRecording,
        search_domain,
        RecordingSearchAnswer,
        takes_recording=True,
    ),
    RestRoute(_OPERATOR, "POST", "/domains/{domainId}/jobs", CreateJob, create_job, JobAnswer),
    RestRoute(_ADMIN, "POST", "/domains/{domainId}/exports", CreateExport, create_export, JobAnswer),
    RestRoute(_ADMIN, "GET", "/jobs/{jobId}/archive", FetchArchive, fetch_archive, None, file_type="application/x-tar"),
    RestRoute(_ADMIN, "DELETE", "/jobs/{jobId}/archive", DeleteArchive, delete_archive, JobAnswer),
    RestRoute(_READER, "GET", "/jobs", ListJobs, list_jobs, JobsAnswer),
    RestRoute(_READER, "GET", "/jobs/{jobId}", GetJob, get_job, JobAnswer),
    RestRoute(_READER, "GET", "/jobs/{jobId}/items", ListJobItems, list_items, JobItemsAnswer),
    RestRoute(
        _OPERATOR,
        "PUT",
        "/jobs/{jobId}/items/{number}",
        PutJobItem,
        put_item,
        JobItemAnswer,
        takes_recording=True,
    ),
    RestRoute(_OPERATOR, "POST", "/jobs/{jobId}/cancel", CancelJob, cancel_job, JobAnswer),
)

# The OpenAPI document.

DESCRIPTION = (
    "Results in full, events, and searches with recordings. Send a bearer token (`earwitness keys token`), or sign "
    "with AWS Signature Version 4 and an access key, for the service `earwitness` or `chime`. The account is the "
    "key's; the Region is that of the signature, or with a token the query parameter `region`. "
    f"{measured_limits().of_a_name}"
)

_SECURITY: Schema = {
    "bearerToken": {"type": "http", "scheme": "bearer"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `earwitness` or `chime`.",
    },
}
_RECORDING: Schema = {
    "required": True,
    "description": "An audio file: WAV, FLAC, MP3, OGG, GSM in WAV, Matroska of PCM or G.711; more with the extra "
    "`formats`.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_OPENAPI: Schema = {
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "description": "An OpenAPI document.",
}


@cache
def openapi() -> OpenApi:
    """Return the document of all routes."""
    answers = [ErrorAnswer, *(route.answer for route in ROUTES if route.answer)]
    _, parameters = msgspec.json.schema_components([route.parameters for route in ROUTES], ref_template=_REFERENCE)
    bodies = [route.body for route in ROUTES if route.body]
    _, schemas = msgspec.json.schema_components([*answers, *bodies], ref_template=_REFERENCE)
    for schema in schemas.values():
        if "enum" in schema:  # its docstring is for those who read the code
            schema.update({"type": "string", "description": ""})
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        described = parameters[route.operation]
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, described)
    document: OpenApi = {
        "openapi": "3.1.0",
        "info": {"title": "earwitness", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": {**schemas, "OpenApi": _OPENAPI}, "securitySchemes": _SECURITY},
        "security": [{"bearerToken": []}, {"signature": []}],
    }
    # The documents are called Task and Event; the classes have a longer name, since they are not the records.
    return msgspec.json.decode(msgspec.json.encode(document).replace(b'Answer"', b'"'))


_REFERENCE = "#/components/schemas/{name}"


def _operation(route: RestRoute, parameters: Schema) -> Schema:
    required: list[str] = parameters["required"]
    operation: Schema = {
        "operationId": route.operation,
        "summary": parameters["description"],
        "description": f"For {', '.join(sorted(route.roles)) or 'anybody'}.",
        "parameters": [
            _parameter(route, name, schema, required=name in required)
            for name, schema in parameters["properties"].items()
        ],
        "responses": {
            "200": _file_response(route.file_type)
            if route.file_type
            else _response("The answer.", route.answer.__name__ if route.answer else "OpenApi"),
            "default": _response("An error.", ErrorAnswer.__name__),
        },
    }
    if not route.roles:
        operation["security"] = []
    if route.takes_recording:
        operation["requestBody"] = _RECORDING
    elif route.body:
        schema = {"$ref": _REFERENCE.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _parameter(route: RestRoute, name: str, schema: Schema, *, required: bool) -> Schema:
    schema = dict(schema)
    description = schema.pop("description")
    if not required and schema["default"] is None:  # left out, not null
        (schema,) = [one for one in schema["anyOf"] if one != {"type": "null"}]
    place = "path" if f"{{{name}}}" in route.path else "query"
    return {"name": name, "in": place, "required": required, "description": description, "schema": schema}


def _file_response(kind: str) -> Schema:
    return {"description": "The file.", "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}


def _response(description: str, name: str) -> Schema:
    schema = {"$ref": _REFERENCE.format(name=name)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
