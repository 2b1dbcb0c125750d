"""Sites, and the figures of the whole."""

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter

from csms.edge.http.auth import ControlDep, Reader
from csms.edge.http.ports import Control
from csms.settings import SiteSettings
from csms.store import reads

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get("/sites")
async def sites(control: ControlDep, caller: Reader) -> list[SiteSettings]:
    """The tree of sites with their limits, as configured."""
    return list(control.settings.site)


@router.get("/summary")
async def summary(control: ControlDep, caller: Reader) -> dict[str, Any]:
    """Counts from the store, what must be zero in it, and how it stands now (metered power, + into the vehicles)."""
    counted = await control.store.read(reads.counts)
    if not counted.entries:
        counted = replace(counted, currency=control.settings.settlement.currency)
    return {**_grouped(counted), **asdict(await control.audit()), "at": control.clock.now(), "now": _now(control)}


def _grouped(counted: reads.DemoCounts) -> dict[str, Any]:
    def pick(*names: str) -> dict[str, Any]:
        return {name: getattr(counted, name) for name in names}

    return {
        **pick("plug_ins", "violations"),
        "permissions": pick("asked", "granted", "refused", "expired"),
        "setpoints": pick("desired", "acknowledged", "observed"),
        "ledger": pick("entries", "balanced", "paid_minor", "currency"),
    }


def _now(control: Control) -> dict[str, Any]:
    views = control.station_views()
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
