"""What Prometheus is told in compose and in a cluster, and the number that scales the workers there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.rule_files import rules
from tests.support.kustomize import render
from tests.support.manifests import one
from workers.pacing.need import workers_desired
from workers.supervise.recorded import RULE

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
CALLS_A_WORKER = 500


def query() -> str:
    """What KEDA asks in production."""
    scaled = one(render(ROOT / "deploy/overlays/production"), "ScaledObject", "confirm")
    assert scaled is not None
    asked: str = scaled["spec"]["triggers"][0]["metadata"]["query"]
    return asked


def promtool(*arguments: str | Path) -> None:
    """Where it is installed, it must be content."""
    if PROMTOOL is not None:
        said = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr


def test_promtool_reads_compose_s_configuration() -> None:
    promtool("check", "config", "--syntax-only", ROOT / "dashboards/prometheus.yaml")


def test_supervised_workers_are_found_by_what_their_supervisor_says() -> None:
    jobs = yaml.safe_load((ROOT / "dashboards/prometheus.yaml").read_text())["scrape_configs"]
    [listed] = [job["http_sd_configs"][0]["url"] for job in jobs if "http_sd_configs" in job]
    supervise = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["supervise"]["environment"]
    assert listed == f"http://supervise:{supervise['WAITING_ROOM_METRICS_PORT']}/targets"
    assert supervise["WAITING_ROOM_CONFIRM_WORKERS_PROMETHEUS_URL"] == "http://prometheus:9090"
    assert RULE in {rule.name for rule in rules()}


def test_promtool_reads_the_cluster_s_configuration(tmp_path: Path) -> None:
    told = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yaml").read_text())
    for job in told["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")  # Debian builds promtool without it
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(told))
    promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yaml")


def test_a_pod_says_what_the_cluster_s_prometheus_looks_for() -> None:
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yaml").read_text())["scrape_configs"][0]
    assert scrape["kubernetes_sd_configs"][0]["selectors"][0]["label"] == "app.kubernetes.io/name=waiting-room"
    for each in render(ROOT / "deploy/overlays/production"):
        if each["kind"] == "Deployment":
            meta = each["spec"]["template"]["metadata"]
            assert meta["labels"]["app.kubernetes.io/name"] == "waiting-room"
            assert meta["labels"]["app.kubernetes.io/component"] == each["metadata"]["name"]
            assert meta["annotations"]["prometheus.io/scrape"] == "true"


@pytest.mark.parametrize(
    "needed",
    [{"a": 0.0, "b": 0.0}, {"a": 500.0, "b": 400.0}, {"a": 500.0, "b": 501.0}, {"a": 4_000.0, "b": 4_001.0}],
)
def test_the_query_is_the_supervisor_s_own_number(needed: dict[str, float], tmp_path: Path) -> None:
    series = [(f'waiting_room_confirm_calls_needed{{instance="{pod}"}}', value) for pod, value in needed.items()]
    series += [(f'waiting_room_confirm_calls_max{{instance="{pod}"}}', CALLS_A_WORKER) for pod in needed]
    desired = workers_desired(needed.values(), CALLS_A_WORKER)
    promtool("test", "rules", asking(tmp_path, series, [{"labels": "{}", "value": desired}]))


def test_no_worker_that_speaks_is_no_value_and_not_zero(tmp_path: Path) -> None:
    promtool("test", "rules", asking(tmp_path, [("up", 1.0)], []))


def asking(folder: Path, series: list[tuple[str, float]], answer: list[dict[str, Any]]) -> Path:
    """A promtool test of the query over the recording rules, with series that stay as they are."""
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": f"{value:g}x8"} for name, value in series],
        "promql_expr_test": [{"expr": query(), "eval_time": "2m", "exp_samples": answer}],
    }
    file, rules = folder / "query.yaml", str(ROOT / "dashboards/rules/recording.yaml")
    file.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "15s", "tests": [test]}))
    return file
