"""The alert rules, run by Prometheus' own test tool; and the metrics they speak of."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from libs.common import telemetry

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
TESTS = Path(__file__).parent / "alerts_test.yml"
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (Debian: prometheus)")
def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(TESTS, tmp_path)
    argv = [str(PROMTOOL), "test", "rules", TESTS.name]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    tested = set(
        re.findall(r"alertname: (\w+)", (Path(__file__).parent / "alerts_test.yml").read_text())
    )
    assert alerts == tested


def test_rules_and_panels_speak_of_metrics_that_exist() -> None:
    files = [RULES, *(ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")]
    named = {
        name for file in files for name in re.findall(r"\bmodelmuxer_[a-z_]+", file.read_text())
    }
    known = {
        name
        for metric in vars(telemetry).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
        for name in (family.name, f"{family.name}_total", f"{family.name}_bucket")
    }
    assert named <= known
