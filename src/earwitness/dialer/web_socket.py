"""A WebSocket to a door, and what it means when it is refused or ends early."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from earwitness.config.aws import certificate_fault, trusted
from earwitness.dialer.plan import CONNECT_SECONDS_MAX, END_SECONDS_MAX, CallPlan
from earwitness.errors import CallNotPlaced


@asynccontextmanager
async def dialled(plan: CallPlan, headers: Mapping[str, str]) -> AsyncGenerator[ClientConnection]:
    """Dial the plan's address, and hang up at the end.

    Raise CallNotPlaced when the door is not there, refuses the call or ends it early, in the words of the door.
    """
    try:
        async with connect(
            plan.address.geturl(),
            additional_headers=headers,
            ssl=trusted() if plan.address.scheme == "wss" else None,
            open_timeout=CONNECT_SECONDS_MAX,
            close_timeout=END_SECONDS_MAX,
            compression=None,
            proxy=None,
        ) as connection:
            yield connection
    except InvalidStatus as error:
        said = error.response.body.decode("utf-8", "replace").strip() if error.response.body else ""
        raise CallNotPlaced(f"the door refused the call with status {error.response.status_code}: {said}") from error
    except ConnectionClosed as error:
        said = error.rcvd.reason if error.rcvd is not None else ""
        raise CallNotPlaced(f"the door ended the call: {said or 'no reason given'}") from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        fault = certificate_fault(error) or "nothing there takes calls"
        raise CallNotPlaced(f"{plan.address.hostname} cannot be called: {fault}; look at the address") from error
