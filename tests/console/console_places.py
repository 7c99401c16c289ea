"""Where each page and action of the console's tables is in the records of the tests."""

from console_examples import DELETED, DOMAIN, KNOWN, task_id

PLACES = {
    "/tasks": "/tasks",
    "/live": "/live",
    "/tasks/{taskId}/report": f"/tasks/{task_id(0)}/report",
    "/tasks/{taskId}": f"/tasks/{task_id(0)}",
    "/tasks/{taskId}/label": f"/tasks/{task_id(0)}/label",
    "/tasks/{taskId}/label/delete": f"/tasks/{task_id(0)}/label/delete",
    "/tasks/{taskId}/look-back": f"/tasks/{task_id(0)}/look-back",
    "/profiles/{profileId}/look-back": f"/profiles/{KNOWN}/look-back",
    "/domains/{domainId}/labels": f"/domains/{DOMAIN}/labels",
    "/labels": "/labels",
    "/domains": "/domains",
    "/domains/{domainId}": f"/domains/{DOMAIN}",
    "/domains/{domainId}/consent": f"/domains/{DOMAIN}/consent",
    "/domains/{domainId}/consents": f"/domains/{DOMAIN}/consents",
    "/domains/{domainId}/withdrawals": f"/domains/{DOMAIN}/withdrawals",
    "/domains/{domainId}/retention": f"/domains/{DOMAIN}/retention",
    "/retention": "/retention",
    "/certificates/{deletedId}": f"/certificates/{DELETED}",
    "/domains/{domainId}/findings": f"/domains/{DOMAIN}/findings",
    "/profiles/{profileId}": f"/profiles/{KNOWN}",
    "/profiles/{profileId}/delete": f"/profiles/{KNOWN}/delete",
    "/profiles/{profileId}/voiceprints/{voiceprintId}": f"/profiles/{KNOWN}/voiceprints/print-of-{KNOWN}",
    "/profiles/{profileId}/voiceprints/{voiceprintId}/remove": f"/profiles/{KNOWN}/voiceprints/print-of-{KNOWN}/remove",
    "/profiles/{profileId}/voiceprints/{voiceprintId}/roll-back": (
        f"/profiles/{KNOWN}/voiceprints/print-of-{KNOWN}/roll-back"
    ),
    "/try": "/try",
    "/try/identify": "/try/identify",
    "/try/enrol": "/try/enrol",
    "/evaluate": "/evaluate",
    "/evaluate/result": "/evaluate/result",
    "/evaluate/calibration": "/evaluate/calibration",
    "/evaluate/start": "/evaluate/start",
    "/evaluate/end": "/evaluate/end",
    "/events": "/events",
    "/events/{eventId}": "/events/event-1",
    "/events/{eventId}/replay": "/events/event-1/replay",
    "/events/replay": "/events/replay",
    "/doors": "/doors",
    "/nodes": "/nodes",
    "/audit": "/audit",
}
"""By the path in the table."""
