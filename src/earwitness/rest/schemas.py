"""JSON Schemas of everything the API answers, by name, as the OpenAPI document shows them."""

from earwitness.rest.parameters import Schema
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0, "description": "Seconds."}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
YES_NO: Schema = {"type": "boolean"}


def _said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _or_null(schema: Schema, description: str = "") -> Schema:
    found: Schema = {"anyOf": [schema, {"type": "null"}]}
    return _said(found, description) if description else found


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_NEXT_TOKEN = _or_null(TEXT, "Give it back as `nextToken` for what follows; null on the last page.")

_PROFILE: dict[str, Schema] = {
    "profileId": TEXT,
    "arn": TEXT,
    "domainId": TEXT,
    "createdAt": TIME,
    "updatedAt": TIME,
    "expiresAt": TIME,
    "voiceprints": _said(_list_of("ProfileVoiceprint"), "None once the profile has expired."),
}

SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        error=_object(
            type=_said(TEXT, "The class of the error, for programs."),
            message=_said(TEXT, "What happened and what to do next, for people."),
            requestId=_said(TEXT, "The request, as the service's logs name it."),
        )
    ),
    "Candidate": _object(
        profileId=TEXT,
        voiceprintId=_said(TEXT, "The profile's voiceprint that came closest."),
        score=_said(NUMBER, "Cosine, -1 to 1; what the threshold is compared with."),
        probability=_said(SHARE, "That it is this profile, given all the others and nobody."),
        falseMatchRate=_said(SHARE, "Share of pairs of different speakers that score at least this high."),
    ),
    "Threshold": _object(
        score=_said(NUMBER, "The lowest score that is given a name."),
        gallerySize=_said(WHOLE, "Voiceprints that were searched; the threshold rises with their number."),
        strangersNamedPercent=_said(NUMBER, "At most this share of strangers is named by a search of this gallery."),
        pairFalseMatchRate=_said(SHARE, "Share of pairs of different speakers that score at least this high."),
        extrapolated=_said(YES_NO, "True when that rate lies beyond the pairs that the curve was measured on."),
    ),
    "Decision": _object(
        outcome=_one_of(*Outcome),
        candidates=_said(_list_of("Candidate"), "At most ten, best first, named or not."),
        nobodyProbability=_or_null(SHARE, "That it is none of the enrolled; null when the search was not made."),
        othersProbability=_or_null(
            SHARE,
            "That it is somebody who is enrolled and not listed here. All probabilities of an answer add up to 1.",
        ),
        margin=_or_null(NUMBER, "Score of the first candidate minus that of the second."),
        ambiguous=_said(YES_NO, "True for a match whose runner-up fits nearly as well."),
        threshold=_or_null(_ref("Threshold"), "Null when the search was not made."),
        netSpeechSeconds=_said(SECONDS, "Seconds of speech that were searched with."),
        weak=_said(YES_NO, "True for a match with a probability under a half: look before anything rests on it."),
        voices=_said(_list_of("Decision"), "With several voices, the answer for each; else empty."),
        leakageSeconds=_said(
            SECONDS, "Seconds of speech left out: at least 20 dB quieter than the rest, another party's."
        ),
    ),
    "Task": _object(
        taskId=TEXT,
        pipelineId=TEXT,
        status=_one_of(*TaskStatus),
        attempt=_said(WHOLE, "How often it was picked up."),
        stopReason=_or_null(_one_of(*StopReason)),
        statusMessage=_or_null(TEXT, "What went wrong, what it goes on without, or why the speech is no voiceprint."),
        stream=_object(arn=TEXT, channelId=WHOLE),
        domain=_object(id=TEXT, arn=TEXT),
        createdAt=TIME,
        updatedAt=TIME,
        startedAt=_or_null(TIME),
        endedAt=_or_null(TIME),
        identification=_or_null(_ref("Decision"), "The result of its search."),
        voiceprint=_or_null(_ref("TaskVoiceprint"), "Null before it is decided."),
        profileId=_or_null(TEXT, "The profile that was created from it."),
        lagSeconds=_or_null(SECONDS, "How far it is behind its stream; null when it does not run in this process."),
    ),
    "TaskVoiceprint": _object(
        status=_one_of(*VoiceprintStatus),
        canBeEnrolledUntil=_or_null(TIME, "Until then a profile can be created from it; null when it is gone."),
    ),
    "Status": _object(
        runningTasks=_said(WHOLE, "Tasks that run in this process, of all accounts."),
        lagSecondsMax=_or_null(SECONDS, "How far the last of them is behind its stream; null when none runs."),
        logLinesDropped=_said(WHOLE, "Log lines of this process that were dropped because nobody read its log."),
        mediaRefusal=_or_null(TEXT, "Why media are refused for want of room on the disk; null when they are taken."),
        keepsEnrolmentAudio=_said({"type": "boolean"}, "Whether the speech behind a voiceprint is kept."),
        accountId=_said(TEXT, "The account of the key or token that asks."),
        use=_said(_list_of("Use"), "What the account uses of what it may have, some of it in this Region."),
    ),
    "Use": _object(
        name=_said(TEXT, "What is used."),
        used=_said(WHOLE, "So much of it."),
        most=_said(
            WHOLE,
            "What one more than this is refused at: a quota, or the account's share of what all accounts have "
            "together, which grows when others use less.",
        ),
    ),
    "Tasks": _object(tasks=_list_of("Task"), nextToken=_NEXT_TOKEN),
    "Delivery": _object(
        target=_said(TEXT, "The ARN, URL or file it goes to."),
        state=_one_of("pending", "delivered", "parked"),
        attempts=WHOLE,
        nextAttemptAt=_or_null(TIME),
        lastError=_or_null(TEXT),
        deliveredAt=_or_null(TIME),
    ),
    "Event": _object(
        sequence=_said(WHOLE, "Its number in the whole store; give the last one back as `after`."),
        eventId=TEXT,
        pipelineId=TEXT,
        kind=TEXT,
        createdAt=TIME,
        body=_or_null({"type": "object"}, "What the pipeline's sinks get; null when it is damaged."),
        deliveries=_list_of("Delivery"),
    ),
    "Events": _object(events=_list_of("Event"), next=_said(WHOLE, "Give it back as `after` for what follows.")),
    "Replay": _object(eventId=TEXT, replayed=_said(WHOLE, "Deliveries that wait again.")),
    "ProfileVoiceprint": _object(
        voiceprintId=TEXT,
        encoderId=_said(TEXT, "What made it; those of different encoders are never compared."),
        netSpeechSeconds=SECONDS,
        taskId=_or_null(TEXT, "The task that made it; null when it was enrolled from a recording."),
        hasConsentReference=YES_NO,
        consentReference=_or_null(TEXT, "For admins and operators; null for others."),
        createdAt=TIME,
        expiresAt=TIME,
    ),
    "Domain": _object(
        domainId=TEXT,
        arn=TEXT,
        name=TEXT,
        description=TEXT,
        band=_one_of(*Band),
        createdAt=TIME,
        updatedAt=TIME,
    ),
    "Domains": _object(domains=_list_of("Domain"), nextToken=_NEXT_TOKEN),
    "Profile": _object(**_PROFILE),
    "EnrolledProfile": _object(
        **_PROFILE,
        sameVoiceAs=_said(
            {"type": "array", "items": TEXT},
            "Other profiles of the domain that a search for the new voiceprint would name, closest first: perhaps one "
            "person is enrolled twice.",
        ),
    ),
    "Profiles": _object(profiles=_list_of("Profile"), nextToken=_NEXT_TOKEN),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths"], "description": "An OpenAPI document."},
}
