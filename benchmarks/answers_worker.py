"""A client that asks again and again while calls go on, for `live`; in a process of its own, which nothing holds up.

Arguments: the service's URL, a pipeline, its task, seconds. Prints milliseconds as JSON: of `/health`,
which touches nothing but the event loop, and of GetSpeakerSearchTask.
"""

import json
import sys
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np

_EVERY_SECONDS = 0.02


def main() -> None:
    """One question of each kind every 20 ms."""
    url, pipeline, task, seconds = *sys.argv[1:4], float(sys.argv[4])
    session: Any = boto3.Session("test", "test", region_name="us-east-1")  # no types
    pipelines = session.client("chime-sdk-media-pipelines", endpoint_url=url)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    health: list[float] = []
    asked: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        connection.request("GET", "/health")
        connection.getresponse().read()
        between = time.perf_counter()
        pipelines.get_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
        health.append(1e3 * (between - began))
        asked.append(1e3 * (time.perf_counter() - between))
        time.sleep(max(0.0, began + _EVERY_SECONDS - time.perf_counter()))
    found = {"health": health, "task": asked}
    print(
        json.dumps(
            {
                f"{name}_ms_p{percent}": float(np.percentile(each, percent))
                for name, each in found.items()
                for percent in (50, 99)
            }
        )
    )


if __name__ == "__main__":
    main()
