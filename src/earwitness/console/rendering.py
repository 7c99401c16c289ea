"""Pages as HTML: templates, and how values look.

Everything is escaped; a name that is not there is an error. Words that others chose, names and descriptions, go through
`text`, which lets them neither turn the page around nor flood it.
"""

import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from earwitness.console.evaluation_pictures import cost_curve, det_curve
from earwitness.console.pictures import curves, progress_width, score_x, strip
from earwitness.rest.models import EventAnswer

TEMPLATES = Path(__file__).parent / "templates"

SHOWN_CHARACTERS_MAX = 200
"""Of one text that somebody chose."""

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn what follows around."""


SHORT_ID_CHARACTERS = 16
_KIND_CHARACTERS_MAX = 4

_NONE = Markup('<span class="none">–</span>')


class Templates:
    """The templates, each compiled when it is first shown."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters: Any = self._environment.filters  # `Any`: Jinja's types know its own filters only
        for look in _LOOKS:
            filters[look.__name__] = look

    @cached_property
    def _ui(self) -> object:
        """The macros of all pages, compiled with the first page: nobody who starts a service waits for them."""
        return self._environment.get_template("ui.html").module

    def page(self, name: str, values: Mapping[str, Any]) -> str:  # `Any`: whatever templates show
        """Return a whole page."""
        return self._environment.get_template(name).render({"ui": self._ui, **values})

    def live(self, name: str, values: Mapping[str, Any]) -> str:  # `Any`: as above
        """Return the block of a page that changes by itself."""
        template = self._environment.get_template(name)
        return "".join(template.blocks["live"](template.new_context({"ui": self._ui, **values})))


def address(path: str, query: Mapping[str, object]) -> str:
    """Return an address of a path and what of the query is not empty."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return quote(path) + (f"?{urlencode(given)}" if given else "")


# How values look.


def text(value: str | None) -> Markup:
    """Return words that somebody chose: apart from the words around them, and not longer than a few lines."""
    if not value:
        return Markup('<span class="none">none</span>')
    shown = "".join(map(_visible, value[:SHOWN_CHARACTERS_MAX]))
    more = len(value) - SHOWN_CHARACTERS_MAX
    rest = Markup(' <span class="more">… {:,} more characters</span>').format(more) if more > 0 else ""
    return Markup("<bdi>{}</bdi>{}").format(shown, rest)


def plain(value: str) -> str:
    """Return words that somebody chose, where no element may stand: in an option of a form."""
    return "".join(map(_visible, value[:SHOWN_CHARACTERS_MAX]))


def _visible(character: str) -> str:
    if character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Co"):
        return f"[U+{ord(character):04X}]"
    return character


def moment(value: datetime | None) -> Markup:
    """Return a time in UTC, to the second."""
    if value is None:
        return _NONE
    value = value.astimezone(UTC)
    shown = Markup(
        '<time datetime="{0:%Y-%m-%dT%H:%M:%S.%fZ}">{0:%Y-%m-%d} <span class="clock">{0:%H:%M:%S}</span></time>'
    )
    return shown.format(value)


def ago(value: datetime, now: datetime) -> str:
    """Return how long ago something was, or how soon it is, in words."""
    distance = now - value
    words = _duration(abs(distance))
    return f"{words} ago" if distance >= timedelta(0) else f"in {words}"


def _duration(value: timedelta) -> str:
    total = int(value.total_seconds())
    for size, unit in ((86_400 * 365, "years"), (86_400, "days"), (3_600, "h"), (60, "min")):
        if total >= 2 * size:
            return f"{round(total / size)} {unit}"
    return f"{total} s"


def seconds(value: float | None) -> Markup:
    """Return seconds, to a tenth."""
    return _NONE if value is None else Markup("{:.1f}\u202fs").format(value)


def percent(value: float | None) -> Markup:
    """Return a share as per cent; shares that are nearly all or nothing are said to be so."""
    if value is None:
        return _NONE
    if value > 0.999:
        return Markup("over 99.9\u202f%")
    return Markup("under 0.1\u202f%") if value < 0.001 else Markup("{:.1f}\u202f%").format(100 * value)


def unit(value: float | None, name: str) -> Markup:
    """Return a number with its unit, to a tenth."""
    return _NONE if value is None else Markup("{:.1f}\u202f{}").format(value, name)


def words(name: str) -> str:
    """Return a name of a JSON document, as `waitingRequests`, in words."""
    return "".join(f" {one.lower()}" if one.isupper() else one for one in name)


def document(value: object) -> str:
    """Return a JSON document as people read it, with characters that turn what follows around made visible."""
    return "".join(one if one == "\n" else _visible(one) for one in json.dumps(value, indent=2, ensure_ascii=False))


def count(value: int) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def counted(value: int, noun: str) -> str:
    """Return how many of something there are, with the word for one or for several."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def score(value: float | None) -> Markup:
    """Return a score, which is a cosine."""
    return _NONE if value is None else Markup("{:.2f}").format(value)


def short(value: str) -> str:
    """Return the last part of an ARN, or what there is."""
    return value.rpartition(":")[2] or value


def short_id(value: str) -> str:
    """Return the first part of an id that has several, with its kind; the whole is in the address and the title."""
    kind, dash, rest = value.partition("-")
    if len(value) <= SHORT_ID_CHARACTERS:
        return value
    return f"{kind}-{rest.partition('-')[0]}" if dash and len(kind) <= _KIND_CHARACTERS_MAX else value.partition("-")[0]


def ratio(value: float) -> str:
    """Return how many times likelier one of two things is, as `20` or `1 / 20`; beyond a million only that it is."""
    if not 1e-6 <= value <= 1e6:
        return "over 1\u202f000\u202f000" if value > 1 else "under 1 / 1\u202f000\u202f000"
    return count(round(value)) if value >= 1 else f"1 / {count(round(1 / value))}"


def rate(value: float) -> Markup:
    """Return how many of others it is, as one in so many."""
    if value <= 0:
        return Markup("none measured")
    return Markup("1 in {}").format(count(max(1, round(1 / value))))


def event_name(event: EventAnswer) -> str:
    """Return what an event tells, in the words of the wire."""
    detail: Any = (event.body or {}).get("detail") or {}  # `Any`: an object, in every event of ours
    return str(detail.get("detailStatus", event.kind))


_LOOKS = (
    text,
    plain,
    moment,
    ago,
    seconds,
    percent,
    rate,
    ratio,
    unit,
    count,
    counted,
    score,
    short,
    short_id,
    words,
    event_name,
    document,
    strip,
    progress_width,
    curves,
    score_x,
    det_curve,
    cost_curve,
)
"""What templates have as filters."""
