"""Sites, and the figures of the whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter

from csms.control.stations.views import StationView
from csms.edge.http.auth import Reader
from csms.edge.http.rooms import ClockDep, RegistryDep, ReportsDep, SettingsDep, StoreDep
from csms.settings import SiteSettings
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get("/sites")
async def sites(settings: SettingsDep, caller: Reader) -> list[SiteSettings]:
    """The tree of sites with their limits, as configured."""
    return list(settings.site)


@router.get("/summary")
async def summary(
    store: StoreDep, settings: SettingsDep, registry: RegistryDep, reports: ReportsDep, clock: ClockDep, caller: Reader
) -> dict[str, Any]:
    """Counts from the store, what must be zero in it, and how it stands now (metered power, + into the vehicles)."""
    counted = await store.read(reads.counts)
    if not counted.entries:
        counted = replace(counted, currency=settings.settlement.currency)
    checked = asdict(await reports.audit())
    return {**_grouped(counted), **checked, "at": clock.now(), "now": _now(registry.views())}


def _grouped(counted: reads.DemoCounts) -> dict[str, Any]:
    def pick(*names: str) -> dict[str, Any]:
        return {name: getattr(counted, name) for name in names}

    return {
        **pick("plug_ins", "violations"),
        "permissions": pick("asked", "granted", "refused", "expired"),
        "setpoints": pick("desired", "acknowledged", "observed"),
        "ledger": pick("entries", "balanced", "paid_minor", "currency"),
    }


def _now(views: Sequence[StationView]) -> dict[str, Any]:
    evses = [evse for view in views for evse in view.evses]
    versions = Counter(view.version.number for view in views if view.version)
    return {
        "stations": len(views),
        "stations_online": sum(view.online for view in views),
        "stations_by_version": dict(sorted(versions.items())),
        "plugged_in": sum(evse.plug_in is not None for evse in evses),
        "import_w": sum(max(evse.power_w or 0, 0) for evse in evses),
        "export_w": -sum(min(evse.power_w or 0, 0) for evse in evses),
    }
