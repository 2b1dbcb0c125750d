"""The link behind an EVSE's QR code: /d/e/{station}/{evse}?s=signature. V2G-27; the room signs and checks it."""

from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from csms.control.permission.people import Links
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import EvseRef


def evse_of(links: Links, link: str) -> EvseRef:
    """The EVSE of a full link or of its path and query.

    Raises BadRequest when it is no such link, NotFound when the signature does not fit.
    """
    station, evse, signature = parts(link)
    found = links.evse(station, evse, signature)
    if found is None:
        raise NotFound("this link is not valid here; scan the code at the charging point again", field="link")
    return found


def parts(link: str) -> tuple[str, int, str]:
    """Station, EVSE number and signature. Raises BadRequest."""
    split = _split(link)
    match split.path.split("/"):
        case ["", "d", "e", station, evse] if station and evse.isascii() and evse.isdigit() and len(evse) < 6:
            signature = parse_qs(split.query).get("s", [""])[0]
            return unquote(station), int(evse), signature if signature.isascii() else ""
    raise BadRequest("not the link of a charging point; it looks like /d/e/STATION/1?s=…", field="link")


def _split(link: str) -> SplitResult:
    try:
        return urlsplit(link)
    except ValueError:
        return urlsplit("")
