"""What a configuration that can be read may still be wrong about: for ``csms check``, before a start finds it out."""

from collections.abc import Iterator
from pathlib import Path

from csms.domain.errors import CsmsError
from csms.plugs import chosen
from csms.settings import Settings
from csms.store.database import parse_url


def check(settings: Settings) -> None:
    """Raises CsmsError with the first thing that is wrong, and its remedy."""
    chosen(settings.policies)
    _check_database(settings.database.url)
    for wrong in _wrong(settings):
        raise CsmsError(wrong)


def _check_database(url: str) -> None:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").absolute().parent.is_dir():
        raise CsmsError(f"database.url: there is no folder {Path(parsed.database or '').parent}; make it first")


def _wrong(settings: Settings) -> Iterator[str]:
    ocpp, http, dispatch = settings.ocpp, settings.http, settings.dispatch
    if ocpp.port == http.port and (ocpp.host == http.host or "0.0.0.0" in {ocpp.host, http.host}):
        yield f"ocpp.port and http.port are both {ocpp.port}; give each listener its own"
    if http.public_url is not None and not http.public_url.startswith(("http://", "https://")):
        yield f"http.public_url: {http.public_url!r} is no address; write https://charge.example.org"
    if dispatch.setpoint_validity_s < 2 * dispatch.tick_s:
        yield "dispatch.setpoint_validity_s: setpoints would end before they are renewed; give two ticks at least"
    for tariff in settings.tariff:
        if len({period.start for period in tariff.period}) != len(tariff.period):
            yield f"tariff {tariff.area}: two periods have the same start"
