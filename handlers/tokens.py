"""Id tokens in and out, with what each version lacks (reference v2g-over-ocpp §2.2)."""

from typing import Any, Final

from csms.domain.answers import TokenStatus
from csms.domain.facts import IdToken, TokenType
from csms.domain.station import Version

_TYPES: Final = {kind.value.lower(): kind for kind in TokenType} | {"iso15693": TokenType.RFID}

_UNKNOWN_TO_201: Final = frozenset({TokenType.EVCCID, TokenType.VIN, TokenType.DIRECT_PAYMENT, TokenType.OTHER})

LONGEST: Final = {Version.V16: 20, Version.V201: 36, Version.V21: 255}
"""Characters an id token may have."""

STATUS_16: Final = {
    TokenStatus.ACCEPTED: "Accepted",
    TokenStatus.BLOCKED: "Blocked",
    TokenStatus.EXPIRED: "Expired",
    TokenStatus.INVALID: "Invalid",
    TokenStatus.UNKNOWN: "Invalid",
    TokenStatus.CONCURRENT: "ConcurrentTx",
    # Some stations keep a Blocked card blocked for good (KEBA): a passing refusal is Invalid.
    TokenStatus.NOT_NOW: "Invalid",
    TokenStatus.NOT_HERE: "Invalid",
}


def token_16(id_tag: str) -> IdToken:
    """A 1.6 idTag. ``VID:`` marks a vehicle's MAC address (AutoCharge): it recognises, but proves nothing (V2G-30)."""
    return IdToken(id_tag, TokenType.MAC if id_tag[:4].upper() == "VID:" else TokenType.RFID)


def token_2(id_token: dict[str, Any]) -> IdToken:
    """A 2.x idToken. 2.1's types are an open list: one we do not know is OTHER."""
    return IdToken(id_token["idToken"], _TYPES.get(id_token["type"].lower(), TokenType.OTHER))


def evccid(id_token: dict[str, Any]) -> str | None:
    """The vehicle's EVCCID that 2.1 sends along with another token (Q01.FR.02)."""
    infos = id_token.get("additionalInfo", ())
    return next((info["additionalIdToken"] for info in infos if info["type"].upper() == "EVCCID"), None)


def spelt_2(token: IdToken, version: Version) -> dict[str, str]:
    """An idToken for a 2.x station. Types that 2.0.1 does not list, and OTHER, go out as Central."""
    unknown = _UNKNOWN_TO_201 if version is Version.V201 else {TokenType.OTHER}
    kind = TokenType.CENTRAL if token.type in unknown else token.type
    return {"idToken": token.value, "type": kind.value}
