"""All scenarios, by what they are about."""

from __future__ import annotations

from tests.parity.scenario import Scenario
from tests.parity.scenarios import faults, idioms, lifecycle, overrides, requests, serving, workers

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (requests, faults, overrides, lifecycle, serving, workers, idioms)
    for scenario in module.SCENARIOS
}
