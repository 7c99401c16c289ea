"""What the process does at this moment, and how much of what it may have an account uses."""

from earwitness.log import lines_dropped
from earwitness.rest.tools import Call, Document, Tools


async def tell_status(tools: Tools, call: Call) -> Document:
    """How many tasks run in this process, of all accounts, how far the last is behind, and what the account uses."""
    lags = tools.lags.all_seconds()
    return {
        "runningTasks": len(lags),
        "logLinesDropped": lines_dropped(),
        "lagSecondsMax": max(lags, default=None),
        "mediaRefusal": await tools.run(tools.media_refusal),
        "keepsEnrolmentAudio": tools.keep_audio,
        "accountId": call.scope.account_id,
        "use": await tools.run(lambda: _use(tools, call)),
    }


def _use(tools: Tools, call: Call) -> list[Document]:
    account_id = call.scope.account_id
    use = dict(tools.use_of(call.scope))
    for name, share in (("recordings", tools.recordings), ("waitingRequests", tools.waits)):
        use[name] = share.held(account_id), share.most(account_id)
    return [{"name": name, "used": used, "most": most} for name, (used, most) in use.items()]
