"""The alert rules and the dashboard of deploy: promtool plays the rules, and a service tells every name in both."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Live
from test_scrapes import scrape, with_tokens

from patience import until

ROOT = Path(__file__).parents[2]
ALERTS, DASHBOARD = ROOT / "deploy" / "alerts.yaml", ROOT / "deploy" / "grafana-dashboard.json"
NAME = re.compile(r"\b(?:earwitness|http_server|process|python_gc)_[a-z0-9_]+")
_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")

BUCKET = 'earwitness_result_delay_seconds_bucket{le="2.0",instance="a"}'
SOON = 'earwitness_result_delay_seconds_bucket{le="5.0",instance="a"}'
INFINITE = 'earwitness_result_delay_seconds_bucket{le="+Inf",instance="a"}'
COUNT = 'earwitness_result_delay_seconds_count{instance="a"}'
FAILED = 'earwitness_task_results_total{result="failed",instance="a"}'
FREE = 'earwitness_media_free_bytes{instance="a"}'
LOST = 'earwitness_fragments_total{outcome="failed",instance="a"}'
UP = 'up{job="earwitness",instance="a"}'

WELL = {
    UP: "1x480",
    'earwitness_store_up{instance="a"}': "1x480",
    BUCKET: "0+100x480",
    SOON: "0+100x480",
    INFINITE: "0+100x480",
    COUNT: "0+100x480",
    'earwitness_task_lag_seconds{instance="a"}': "0.5x480",
    FAILED: "0x480",
    'earwitness_events_oldest_waiting_seconds{instance="a"}': "2x480",
    'earwitness_events_parked{instance="a"}': "0x480",
    'earwitness_store_errors_total{instance="a"}': "3x480",
    FREE: "50x480",
    'earwitness_media_disk_bytes{instance="a"}': "100x480",
    LOST: "0x480",
    'earwitness_expiry_last_run_timestamp_seconds{instance="a"}': "0+60x480",
    'earwitness_expiry_overdue_records{instance="a"}': "0x480",
    'earwitness_tls_certificate_expiry_timestamp_seconds{instance="a"}': "9000000x480",
}
"""A service that is well, minute by minute for eight hours."""

SCENES: dict[str, tuple[dict[str, str], set[str]]] = {
    "all is well": ({}, set()),
    "no calls": ({BUCKET: "7x480", SOON: "7x480", INFINITE: "7x480", COUNT: "7x480"}, set()),
    "one result in a hundred is late": ({BUCKET: "0+99x480"}, set()),
    "one in twelve is late": ({BUCKET: "0+92x480"}, {"EarwitnessResultsLateSlow", "EarwitnessResultDelay"}),
    "one in five is late": (
        {BUCKET: "0+80x480"},
        {"EarwitnessResultsLateFast", "EarwitnessResultsLateSlow", "EarwitnessResultDelay"},
    ),
    "a task falls behind": ({'earwitness_task_lag_seconds{instance="a"}': "9x480"}, {"EarwitnessTasksBehind"}),
    "tasks fail": ({FAILED: "0+1x480"}, {"EarwitnessTasksFail"}),
    "a sink is away": (
        {'earwitness_events_oldest_waiting_seconds{instance="a"}': "0+60x480"},
        {"EarwitnessEventsWait"},
    ),
    "an event is parked": ({'earwitness_events_parked{instance="a"}': "1x480"}, {"EarwitnessEventsParked"}),
    "a node is gone": ({UP: "0x480"}, {"EarwitnessDown"}),
    "the records are away": ({'earwitness_store_up{instance="a"}': "0x480"}, {"EarwitnessStoreAway"}),
    "the records fail": ({'earwitness_store_errors_total{instance="a"}': "0+1x480"}, {"EarwitnessStoreErrors"}),
    "the disk fills": ({FREE: "9x480"}, {"EarwitnessDiskFull"}),
    "media are lost": ({LOST: "0+1x480"}, {"EarwitnessMediaRefused"}),
    "nothing expires": (
        {'earwitness_expiry_last_run_timestamp_seconds{instance="a"}': "0x480"},
        {"EarwitnessExpiryStands"},
    ),
    "something old stays": ({'earwitness_expiry_overdue_records{instance="a"}': "2x480"}, {"EarwitnessExpiryOverdue"}),
    "a ledger is not told": (
        {'earwitness_ledger_told_timestamp_seconds{instance="a"}': "0x480"},
        {"EarwitnessLedgerStands"},
    ),
    "a place of the audit trail is away": (
        {'earwitness_audit_told_timestamp_seconds{instance="a"}': "0x480"},
        {"EarwitnessAuditPlaceAway"},
    ),
    "a certificate ends": (
        {'earwitness_tls_certificate_expiry_timestamp_seconds{instance="a"}': "1000000x480"},
        {"EarwitnessCertificateEnds"},
    ),
}


def test_the_rules_are_rules(promtool: str) -> None:
    checked = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_a_scene() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8")))
    assert alerts == set().union(*(fires for _, fires in SCENES.values()))


def test_alerts_fire_in_their_scene_and_in_no_other(promtool: str, tmp_path: Path) -> None:
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in {**WELL, **other}.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "8h",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(fires)],
                }
            ],
        }
        for name, (other, fires) in SCENES.items()
    ]
    file = tmp_path / "scenes.json"  # JSON is YAML
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    played = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stdout + played.stderr


def expressions(board: Any) -> Iterator[str]:
    """Of all panels of the dashboard."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


@pytest.mark.slow
def test_every_name_is_told_by_a_running_service_and_documented(
    start: Callable[..., Live], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    live = with_tokens(start(tls_certificate=certificate[0], tls_key=certificate[1], deletion_ledger=ledger))
    until(lambda: "earwitness_expiry_last_run_" in scrape(live.url, verify=False).text)  # the first look at what is old
    until(lambda: "earwitness_ledger_behind" in scrape(live.url, verify=False).text)
    text = scrape(live.url, verify=False).text
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    used = set(NAME.findall(ALERTS.read_text(encoding="utf-8")))
    for expression in expressions(board):
        used |= set(NAME.findall(expression))
    assert len(used) > 30
    assert {name for name in used if name not in told and _OF_A_HISTOGRAM.sub("", name) not in told} == set()
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `((?:earwitness|http)_[a-z_]+)` \|", page, re.MULTILINE))
    assert {name for name in told if name.startswith(("earwitness", "http"))} == documented


def test_panels_of_the_dashboard_are_apart_and_have_a_query(promtool: str, tmp_path: Path) -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    rules = [
        {"record": "panel:query", "expr": each.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for each in expressions(board)
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": f"panel {n}", "rules": [rule]} for n, rule in enumerate(rules)]}))
    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
