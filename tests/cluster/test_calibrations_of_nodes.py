"""Two nodes: the calibration that an admin installs at one of them counts at the other from its next search on."""

from contextlib import ExitStack
from typing import Any

import pytest
from calibration_examples import SHIPPED, document, moved
from test_calls_at_doors import AtNode
from test_cluster import at_both
from traffic import Watched

from earwitness.samples import first_call, second_call

pytestmark = pytest.mark.slow


def id_of(domain_arn: str) -> str:
    return domain_arn.rpartition("/")[2]


def test_what_is_installed_at_one_node_counts_in_the_next_search_of_the_other(calm: Watched) -> None:
    higher, highest = moved(0.05), moved(0.1)
    app, _ = at_both(calm, "calibrated")
    domain = id_of(app.domain("calibrated"))
    calibrations = f"domains/{domain}/calibrations"
    with ExitStack() as opened:
        a, b = (AtNode(opened, node) for node in calm.cluster.nodes)

        def searched(node: AtNode) -> tuple[str, float]:
            """By which calibration a recording is searched at a node, and its threshold."""
            found: dict[str, Any] = node.asked(
                "POST", f"domains/{domain}/search", content=second_call("sally").read_bytes()
            )
            return found["calibration"], found["threshold"]["score"]

        enrolled = {"consent": "form 1"}
        a.asked("POST", f"domains/{domain}/profiles", params=enrolled, content=first_call("sally").read_bytes())
        # Both have loaded the domain, and what it is searched by, before anything changes.
        before = searched(a)
        assert before[0] == SHIPPED.id
        assert searched(b) == before
        version = 0
        for installs, searches, calibration, above in ((a, b, higher, 0.05), (b, a, highest, 0.1)):
            told = installs.asked("POST", calibrations, params={"version": version}, content=document(calibration))
            version = told["version"]
            found = searched(searches)
            assert found == (calibration.id, pytest.approx(before[1] + above, abs=1e-6))
            assert searched(installs) == found
        b.asked("POST", f"{calibrations}/use", params={"calibrationId": higher.id, "version": version})
        assert searched(a)[0] == higher.id
        a.asked("POST", f"{calibrations}/use", params={"calibrationId": "service"})
        assert searched(b) == before
        assert a.asked("GET", calibrations) == b.asked("GET", calibrations)


def test_of_admins_at_two_nodes_the_second_is_told(calm: Watched) -> None:
    app, _ = at_both(calm, "contended")
    domain = id_of(app.domain("contended"))
    with ExitStack() as opened:
        a, b = (AtNode(opened, node) for node in calm.cluster.nodes)
        path = f"domains/{domain}/calibrations"
        seen = b.asked("GET", path)["version"]
        a.asked("POST", path, params={"version": seen}, content=document(moved(0.05)))
        with pytest.raises(AssertionError, match="installed meanwhile"):
            b.asked("POST", path, params={"version": seen}, content=document(moved(0.1)))
        assert b.asked("GET", path)["inUse"]["calibrationId"] == moved(0.05).id


def test_a_live_call_at_another_node_rests_on_it_too(calm: Watched) -> None:
    here, there = at_both(calm, "live-calibrated")
    domain, higher = here.domain("live-calibrated"), moved(0.05)
    with ExitStack() as opened:
        a, b = (AtNode(opened, node) for node in calm.cluster.nodes)
        first, _ = there.call(first_call("kal"), stream=there.stream("before"), domain=domain)
        a.asked("POST", f"domains/{id_of(domain)}/calibrations", content=document(higher))
        second, _ = there.call(second_call("kal"), stream=there.stream("after"), domain=domain)
        told = [b.asked("GET", f"tasks/{task}")["identification"]["calibration"] for task in (first, second)]
        assert told == [SHIPPED.id, higher.id]
