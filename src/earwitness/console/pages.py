"""Every page of the console: who may see it, where it is, what does the work, what shows it.

This table and those of `actions` are all there is: the application is made of them, and the tests run through them.
"""

from dataclasses import dataclass

from earwitness.console.certificates import certificate_page
from earwitness.console.consent import (
    consent_page,
)
from earwitness.console.context import PageHandler, PageWatch, roles_of
from earwitness.console.domain_calibration import (
    calibrations_page,
    fitted_page,
    kept_page,
)
from earwitness.console.domains import (
    ShowVoiceprint,
    domain_page,
    domains_page,
    findings_page,
    profile_page,
    voiceprint_page,
)
from earwitness.console.evaluation import calibration_page, evaluation_page, result_page
from earwitness.console.events import NewestEvents, event_page, events_page
from earwitness.console.labels import (
    LabelQueue,
    label_page,
    labelled_page,
    look_back_for_profile_page,
    look_back_page,
    queue_page,
)
from earwitness.console.live_calls import WatchCalls, live_page
from earwitness.console.retention import retention_page, schedule_page
from earwitness.console.running import audit_page, doors_page, nodes_page
from earwitness.console.tasks import task_again, task_marks, task_page, tasks_page
from earwitness.console.trying import TryIt, try_page
from earwitness.rest.audit_parameters import ListAudit
from earwitness.rest.calibration_models import CompareCalibration, GetCalibration, ListCalibrations
from earwitness.rest.certificate_models import GetCertificate
from earwitness.rest.consent_parameters import RecordConsent
from earwitness.rest.evaluation_parameters import ShowEvaluation
from earwitness.rest.label_parameters import ListLabels, LookBack, LookBackForProfile
from earwitness.rest.parameters import (
    GetEvent,
    GetProfile,
    GetStatus,
    GetTask,
    ListCalls,
    ListDomainProfiles,
    ListDomains,
    ListFindings,
    ListTasks,
    Parameters,
)
from earwitness.rest.retention_models import GetRetention, ListExpiryRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePage:
    """One page."""

    #: Behind the Region, parameters in braces.
    path: str
    #: What it is called in the browser's tab.
    title: str
    #: Who may see it.
    roles: frozenset[str]
    #: Of path and query.
    parameters: type[Parameters]
    handler: PageHandler
    template: str
    #: What it is called in the navigation; "" for a page that others lead to.
    navigation: str = ""
    #: The path of the page of the navigation that it belongs to, where its own does not begin so.
    below: str = ""
    #: Whether its block `live` changes by itself.
    is_live: bool = False
    #: How one that changes by itself is looked at cheaply; None where it is read again whenever something was written.
    watch: PageWatch | None = None
    #: Scripts and styles beside those of every page, by name.
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    uses_microphone: bool = False

    @property
    def operation(self) -> str:
        """What it is called in the logs and in the audit trail."""
        return self.parameters.__name__


PAGES: tuple[ConsolePage, ...] = (
    ConsolePage(
        path="/tasks",
        title="Calls",
        navigation="Calls",
        roles=roles_of("ListTasks"),
        parameters=ListTasks,
        handler=tasks_page,
        template="tasks.html",
        is_live=True,
    ),
    ConsolePage(
        path="/live",
        title="Live",
        navigation="Live",
        roles=roles_of("ListTasks"),
        parameters=WatchCalls,
        handler=live_page,
        template="live.html",
        styles=("calls.css",),
        is_live=True,
    ),
    ConsolePage(
        path="/tasks/{taskId}",
        title="Call",
        roles=roles_of("GetTask"),
        parameters=GetTask,
        handler=task_page,
        template="task.html",
        styles=("calls.css",),
        is_live=True,
        watch=PageWatch(marks=task_marks, again=task_again),
    ),
    ConsolePage(
        path="/tasks/{taskId}/report",
        title="Report of a call",
        roles=roles_of("GetTask"),
        parameters=GetTask,
        handler=task_page,
        template="report.html",
        styles=("calls.css",),
    ),
    ConsolePage(
        path="/tasks/{taskId}/label",
        title="Who spoke?",
        roles=roles_of("PutLabel"),
        parameters=GetTask,
        handler=label_page,
        template="label.html",
    ),
    ConsolePage(
        path="/tasks/{taskId}/look-back",
        title="Where else was this voice heard?",
        roles=roles_of("LookBack"),
        parameters=LookBack,
        handler=look_back_page,
        template="look_back.html",
    ),
    ConsolePage(
        path="/profiles/{profileId}/look-back",
        title="Where was this voice heard?",
        roles=roles_of("LookBackForProfile"),
        parameters=LookBackForProfile,
        handler=look_back_for_profile_page,
        template="look_back.html",
        below="/domains",
    ),
    ConsolePage(
        path="/domains/{domainId}/labels",
        title="Labelled calls",
        roles=roles_of("ListLabels"),
        parameters=ListLabels,
        handler=labelled_page,
        template="labelled.html",
        below="/labels",
    ),
    ConsolePage(
        path="/labels",
        title="Right or wrong",
        navigation="Right or wrong",
        roles=roles_of("DrawUnlabelled"),
        parameters=LabelQueue,
        handler=queue_page,
        template="labels.html",
    ),
    ConsolePage(
        path="/domains",
        title="Domains",
        navigation="Domains",
        roles=roles_of("ListDomains"),
        parameters=ListDomains,
        handler=domains_page,
        template="domains.html",
    ),
    ConsolePage(
        path="/domains/{domainId}",
        title="Domain",
        roles=roles_of("ListDomainProfiles"),
        parameters=ListDomainProfiles,
        handler=domain_page,
        template="domain.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/findings",
        title="Gallery doctor",
        roles=roles_of("ListFindings"),
        parameters=ListFindings,
        handler=findings_page,
        template="findings.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/consent",
        title="Consent",
        roles=roles_of("RecordConsent"),
        parameters=RecordConsent,
        handler=consent_page,
        template="consent.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/retention",
        title="How long it is kept",
        roles=roles_of("GetRetention"),
        parameters=GetRetention,
        handler=schedule_page,
        template="schedule.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/calibration",
        title="Calibration",
        roles=roles_of("ListCalibrations"),
        parameters=ListCalibrations,
        handler=calibrations_page,
        template="domain_calibration.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/calibration/fitted",
        title="Before and after",
        roles=roles_of("CompareCalibration"),
        parameters=CompareCalibration,
        handler=fitted_page,
        template="calibration_compared.html",
    ),
    ConsolePage(
        path="/domains/{domainId}/calibration/{calibrationId}",
        title="A calibration",
        roles=roles_of("GetCalibration"),
        parameters=GetCalibration,
        handler=kept_page,
        template="kept_calibration.html",
    ),
    ConsolePage(
        path="/profiles/{profileId}",
        title="Voice profile",
        roles=roles_of("GetProfile"),
        parameters=GetProfile,
        handler=profile_page,
        template="profile.html",
        below="/domains",
    ),
    ConsolePage(
        path="/profiles/{profileId}/delete",
        title="Delete a voice profile",
        roles=roles_of("DeleteProfile"),
        parameters=GetProfile,
        handler=profile_page,
        template="profile_delete.html",
        below="/domains",
    ),
    ConsolePage(
        path="/profiles/{profileId}/voiceprints/{voiceprintId}",
        title="Take back a voiceprint",
        roles=roles_of("RemoveVoiceprint"),
        parameters=ShowVoiceprint,
        handler=voiceprint_page,
        template="voiceprint.html",
        below="/domains",
    ),
    ConsolePage(
        path="/try",
        title="Try it",
        navigation="Try it",
        roles=roles_of("SearchRecording"),
        parameters=TryIt,
        handler=try_page,
        template="try.html",
        styles=("try.css",),
        scripts=("try.js",),
        uses_microphone=True,
    ),
    ConsolePage(
        path="/events",
        title="Events",
        navigation="Events",
        roles=roles_of("ListEvents"),
        parameters=NewestEvents,
        handler=events_page,
        template="events.html",
        is_live=True,
    ),
    ConsolePage(
        path="/events/{eventId}",
        title="Event",
        roles=roles_of("GetEvent"),
        parameters=GetEvent,
        handler=event_page,
        template="event.html",
        is_live=True,
    ),
    ConsolePage(
        path="/doors",
        title="Doors",
        navigation="Doors",
        roles=roles_of("GetDoors"),
        parameters=ListCalls,
        handler=doors_page,
        template="doors.html",
        is_live=True,
    ),
    ConsolePage(
        path="/evaluate",
        title="Evaluate",
        navigation="Evaluate",
        roles=roles_of("ShowEvaluation"),
        parameters=ShowEvaluation,
        handler=evaluation_page,
        template="evaluate.html",
        styles=("try.css",),
        is_live=True,
    ),
    ConsolePage(
        path="/evaluate/result",
        title="Results of an evaluation",
        roles=roles_of("ShowEvaluation"),
        parameters=ShowEvaluation,
        handler=result_page,
        template="evaluation.html",
        styles=("try.css", "uPlot.min.css"),
        scripts=("uPlot.min.js", "costs.js"),
    ),
    ConsolePage(
        path="/evaluate/calibration",
        title="A fitted calibration",
        roles=roles_of("ShowEvaluation"),
        parameters=ShowEvaluation,
        handler=calibration_page,
        template="calibration.html",
    ),
    ConsolePage(
        path="/nodes",
        title="Nodes",
        navigation="Nodes",
        roles=roles_of("GetStatus"),
        parameters=GetStatus,
        handler=nodes_page,
        template="nodes.html",
        is_live=True,
    ),
    ConsolePage(
        path="/certificates/{deletedId}",
        title="Certificate of deletion",
        roles=roles_of("GetCertificate"),
        parameters=GetCertificate,
        handler=certificate_page,
        template="certificate.html",
        below="/domains",
    ),
    ConsolePage(
        path="/retention",
        title="Retention",
        navigation="Retention",
        roles=roles_of("ListExpiryRuns"),
        parameters=ListExpiryRuns,
        handler=retention_page,
        template="retention.html",
        is_live=True,
    ),
    ConsolePage(
        path="/audit",
        title="Audit trail",
        navigation="Audit",
        roles=roles_of("ListAudit"),
        parameters=ListAudit,
        handler=audit_page,
        template="audit.html",
    ),
)
"""In the order of the navigation."""
