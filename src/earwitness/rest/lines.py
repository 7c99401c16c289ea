"""What domains learn of their lines: shown, switched off and on, forgotten, or as it was before."""

from dataclasses import replace

from earwitness.errors import NotFound
from earwitness.rest.context import RestCall, RestContext, answer_of
from earwitness.rest.domains import domain_of
from earwitness.rest.models import LineAnswer, LinesAnswer, LineVersionAnswer
from earwitness.rest.parameters import GetLines, ResetLines, RevertLine, SwitchLines
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.tasks.lines import LineReport, lines_of
from earwitness.voice.band import Band
from earwitness.voice.line import LineHealth

_LIST = "`earwitness line show --domain ID` and GET /domains/{domainId}/lines list what there is"


def get_lines(context: RestContext, call: RestCall[GetLines]) -> LinesAnswer:
    """Show what a domain has learnt of its lines."""
    return _answer(context, call, domain_of(context, call))


def switch_lines(context: RestContext, call: RestCall[SwitchLines]) -> LinesAnswer:
    """Tell a domain whether to learn its lines."""
    domain = domain_of(context, call)

    def work(unit: Unit) -> None:
        unit.lines.lock(call.scope, domain.domain_id)
        unit.lines.switch(call.scope, domain.domain_id, call.params.learning)
        # The trail has no other place that says which it was.
        replace(call.caller, operation=f"{call.caller.operation} {call.params.learning}").record(unit, domain.arn)

    context.store.write(work)
    return _answer(context, call, domain)


def reset_lines(context: RestContext, call: RestCall[ResetLines]) -> LinesAnswer:
    """Forget what is learnt of a line, or of all."""
    domain, params = domain_of(context, call), call.params

    def work(unit: Unit) -> None:
        unit.lines.lock(call.scope, domain.domain_id)
        codecs = unit.lines.codecs(call.scope, domain.domain_id)
        if params.codec is not None and params.codec not in codecs:
            raise NotFound(f"nothing was learnt or watched of a line of this codec; {_LIST}")
        for codec in codecs if params.codec is None else {params.codec}:
            unit.lines.reset(call.scope, domain.domain_id, codec, key_id=call.caller.principal.key_id)
        call.caller.record(unit, domain.arn)

    context.store.write(work)
    return _answer(context, call, domain)


def revert_line(context: RestContext, call: RestCall[RevertLine]) -> LinesAnswer:
    """Give a line the mean of an earlier version again."""
    domain, params = domain_of(context, call), call.params

    def work(unit: Unit) -> None:
        unit.lines.lock(call.scope, domain.domain_id)
        key_id = call.caller.principal.key_id
        if not unit.lines.revert(call.scope, domain.domain_id, params.codec, params.version, key_id=key_id):
            raise NotFound(f"the line has no version of this number; {_LIST}")
        call.caller.record(unit, domain.arn)

    context.store.write(work)
    return _answer(context, call, domain)


def _answer(
    context: RestContext, call: RestCall[GetLines | SwitchLines | ResetLines | RevertLine], domain: VoiceProfileDomain
) -> LinesAnswer:
    found = lines_of(context.store, call.scope, domain.domain_id, band=Band(domain.band), default=context.line_learning)
    return answer_of(LinesAnswer, found, domain_id=domain.domain_id, lines=[_line(one) for one in found.lines])


def _line(report: LineReport) -> LineAnswer:
    current, monitor = report.current, report.monitor
    return answer_of(
        LineAnswer,
        report,
        version=0 if current is None else current.number,
        health=LineHealth.TOO_FEW if monitor is None else monitor.health,
        searches=0 if monitor is None else monitor.searches,
        voiceprints_mean=monitor and monitor.voiceprints_mean,
        voiceprints_spread=monitor and monitor.voiceprints_spread,
        callers_mean=monitor and monitor.callers_mean,
        versions=[answer_of(LineVersionAnswer, version) for version in report.versions],
    )
