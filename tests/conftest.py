"""Shared by all tests: hypothesis profiles, what a missing component means, and the real server as a fixture."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests import servers

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

# deadline=None: the machine is shared, and time is measured by the benchmark, never by a test.
_ANY_TIME: dict[str, Any] = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
# The same examples every time, so that a red run is the change's doing; `make fuzz` looks for new ones.
settings.register_profile("fixed", derandomize=True, database=None, max_examples=100, **_ANY_TIME)
settings.register_profile("fuzz", derandomize=False, database=None, max_examples=400, **_ANY_TIME)
# For broken code it is enough that an example fails: none is made smaller.
settings.register_profile(
    "mutants", settings.get_profile("fixed"), phases=(Phase.explicit, Phase.generate), print_blob=False
)
settings.load_profile(os.environ.get("TIDEWATT_HYPOTHESIS", "fixed"))

COMPONENTS = {
    "postgres": (servers.has_postgres, "no PostgreSQL server at 127.0.0.1:5432"),
    "peer": (servers.has_node, "Node or the npm peers are not installed: run make test"),
    "browser": (lambda: servers.chromium() is not None, "Chromium is not installed"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a missing component skip."""
    missing = {name: reason for name, (is_there, reason) in COMPONENTS.items() if not is_there()}
    for item in items:
        for name in missing.keys() & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.skip(reason=missing[name]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """In CI a skip is a failure, with its reason."""
    report: pytest.TestReport = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything must be there: {call.excinfo and call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """The same for a whole module that skips itself."""
    report: pytest.CollectReport = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid}: skipped in CI, where everything must be there: {report.longrepr}"
    return report


@pytest.fixture
def server(tmp_path: Path) -> Iterator[servers.Server]:
    """A running ``csms serve`` on SQLite with the default configuration."""
    with servers.running(tmp_path) as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def server_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Server]:
    """A running ``csms serve``, once on SQLite and once on a new PostgreSQL database."""
    with ExitStack() as stack:
        url = stack.enter_context(servers.fresh_postgres()) if request.param == "postgres" else None
        yield stack.enter_context(servers.running(tmp_path, database_url=url))
