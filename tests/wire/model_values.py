"""Random values that satisfy a shape, from a seed: what a client could send, and what an operation could answer."""

import random
from datetime import UTC, datetime, timedelta

from earwitness.wire.service_models import Member, Shape

WORD = "abcXYZ0189"
ANY_TEXT = 'azAZ09 -_./é漢😀%&=?#+"\\<>'
GUID = "0123abcd-4567-89ef-0123-456789abcdef"
ARN = "arn:aws:chime:us-east-1:123456789012:media-pipeline/" + GUID
STREAM_ARN = "arn:aws:kinesisvideo:us-east-1:123456789012:stream/calls-1.a_b/1562589645061"

# A text in quotes of one kind is an alphabet to draw from; a list holds whole samples.
BY_PATTERN: dict[str, str | list[str]] = {
    r"^arn[\/\:\-\_\.a-zA-Z0-9]+$": [ARN, "arn:aws:chime:us-east-1:123456789012:voice-profile/vp-1"],
    "44100|48000": ["44100", "48000"],
    r"^([a-z]+-){2,}\d+$": ["us-east-1", "us-gov-west-1"],
    "^[0-9a-zA-Z._-]+": WORD + "._-",
    "[-_a-zA-Z0-9]*": WORD + "-_",
    "^[-_a-zA-Z0-9]{2,64}$": ["ab", "a" * 64, "3f-_Z"],
    "^[0-9]+$": "0123456789",
    "[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}": [GUID, GUID.upper()],
    r"^[\s0-9a-zA-Z'-]+": "ab 01'-",
    r"arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+": [STREAM_ARN],
    r"arn:aws:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+": [STREAM_ARN],
    "^[a-zA-Z-,]+": ["en-US,de-DE"],
    r"[^\S\n]*\S.*": ["x", " a/b é%2F?x=1&y #", "漢字 😀", "a" * 128],
    "^[A-Z_, ]+": ["NAME, ADDRESS", "ALL"],
    ".*": ANY_TEXT,
    r"^\d{1,2}\/\d{1,2}$": ["16/9"],
    "^[a-zA-Z0-9,-._]+": WORD + ",-._",
    r"amzn1\.application-oa2-client\.[0-9a-fA-F]{32}": ["amzn1.application-oa2-client." + "0aF1" * 8],
    "[A-Z]{2}": ["DE", "US"],
    "^$|^[0-9]{3,3}$": ["", "206"],
    "^$|^[a-zA-Z0-9 ]{2,15}$": ["", "Front Desk 1"],
    "^$|^[A-Z]{2,2}$": ["", "US"],
    r"^\+?[1-9]\d{1,14}$": ["+12065550100", "4930123456"],
    r"arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:function:[a-zA-Z0-9-_]+"
    r"(:(\$LATEST|[a-zA-Z0-9-_]+))?": ["arn:aws:lambda:us-east-1:123456789012:function:f-1:$LATEST"],
    r"^$|^[a-zA-Z0-9\,\.\_\-]+(\s+[a-zA-Z0-9\,\.\_\-]+)*$": ["", "Jo-1,a.b  c_d"],
    "^$|^[a-zA-Z0-9 ]{0,30}$": ["", "session 1"],
    "(?!(^xn--|.+-s3alias$))^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$": ["calls-2024"],
    "[a-zA-Z0-9 _.-]+": WORD + " _.-",
    "^8(00|33|44|55|66|77|88)$": ["800", "888"],
    "([a-z0-9]{21,22}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})": ["a1" * 11, GUID],
    "[a-zA-Z0-9_.-]+": WORD + "_.-",
    "^[a-z]+(-[a-z]+)?-[a-z]+-[0-9]$": ["us-east-1", "us-gov-west-1"],
    "^[a-zA-Z_0-9]+:(//)?([^/]+)/?([^*]*)$": ["s3://bucket/prefix"],
    "^[a-zA-Z_0-9]+": WORD + "_",
    r"arn:[a-z\d-]+:iot:[a-z0-9-]+:[0-9]+:thing/[a-zA-Z0-9_.-]+": ["arn:aws:iot:us-east-1:123456789012:thing/hub"],
    ".+": ANY_TEXT,
    r"[\w\-\.\+]+/[\w\-\.\+]+(,[\w\-\.\+]+/[\w\-\.\+]+)*": ["audio/L16", "video/h264,audio/aac"],
    r"arn:[a-z\d-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:[a-zA-Z0-9_.-]+": [
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:camera-1"
    ],
    "[a-zA-Z0-9+/=]*": WORD + "+/=",
    "[a-zA-Z0-9+/]+={0,2}": WORD + "+/",
    r"[^\n]{11,100}": ANY_TEXT,
    "[a-zA-Z0-9]+": WORD,
    r"^[a-zA-Z0-9_\.\-]+$": WORD + "_.-",
    r"[0-9]{1,12}(\.[0-9]{1,9})?": ["1562589645", "1562589645.061", "0.5"],
    r"^((?u:[\w \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000.:/=+\-@])*)$": "aZ9é漢 _.:/=+-@\u00a0",
    r"(?u:[\w \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000.:/=+\-@])*": "aZ9é漢 _.:/=+-@\u3000",
}


class Values:
    """Draws values for shapes; the same seed draws the same values."""

    def __init__(self, seed: str, *, timestamp_step: timedelta) -> None:
        self._random = random.Random(seed)
        self._step = timestamp_step

    def structure(self, shape: Shape) -> dict[str, object]:
        """Required members always, others three times in four."""
        members = shape.members.values()
        chosen = [member for member in members if member.name in shape.required or self._random.random() < 0.75]
        return {member.name: self._member(member) for member in chosen}

    def _member(self, member: Member) -> object:
        value = self.value(member.shape)
        if member.location == "uri" and value in ("", ".", ".."):
            return "x"
        if member.location == "header":
            return "video/x-matroska"
        return value

    def value(self, shape: Shape) -> object:
        if shape.type == "structure":
            return self.structure(shape)
        if shape.type == "list":
            return [self.value(shape.inner["member"]) for _ in range(self._size(shape, 3))]
        if shape.type == "map":
            keys = {self.value(shape.inner["key"]) for _ in range(self._size(shape, 3))}
            return {key: self.value(shape.inner["value"]) for key in keys}
        return self._scalar(shape)

    def _scalar(self, shape: Shape) -> object:
        if shape.type == "string":
            return self._string(shape)
        if shape.type in ("integer", "long"):
            low = int(shape.minimum if shape.minimum is not None else -(2**31))
            return self._random.randint(low, int(shape.maximum if shape.maximum is not None else 2**31 - 1))
        if shape.type in ("float", "double"):
            return self._random.uniform(shape.minimum or 0.0, shape.maximum or 1e6)
        if shape.type == "boolean":
            return self._random.random() < 0.5
        if shape.type == "timestamp":
            return datetime(2019, 7, 8, tzinfo=UTC) + self._step * self._random.randrange(10**8)
        return self._random.randbytes(self._size(shape, 40))

    def _string(self, shape: Shape) -> str:
        if shape.choices:
            return self._random.choice(shape.choices)
        source = BY_PATTERN[shape.pattern.pattern] if shape.pattern else ANY_TEXT
        if isinstance(source, list):
            fitting = [text for text in source if len(text) <= (shape.maximum or len(text))]
            return self._random.choice(fitting)
        # An alphabet's first character comes first, so that no text is blank or made of dots.
        return source[0] + "".join(self._random.choices(source, k=max(0, self._size(shape, 12) - 1)))

    def _size(self, shape: Shape, above_minimum: int) -> int:
        low = int(shape.minimum or 0)
        high = int(shape.maximum) if shape.maximum is not None else low + above_minimum
        return self._random.randint(low, min(high, low + above_minimum))
