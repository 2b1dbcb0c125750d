"""The stations that can be bought here. The CSMS knows them by these names (its quirks registry)."""

from dataclasses import dataclass, field

from simulators.evse import EvseSpec

VENDOR = "Tidewatt"
FIRMWARE = "1.0"
V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """``version`` is the WebSocket subprotocol."""

    name: str
    version: str
    discharges: bool = False
    negative_limits: bool = False
    setpoints: bool = False
    dynamic: bool = False


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(name="Sim AC 1.6", version=V16),
        Model(name="Sim V2G 1.6", version=V16, discharges=True, negative_limits=True),
        Model(name="Sim AC 2.0.1", version=V201),
        Model(name="Sim V2G 2.0.1", version=V201, discharges=True, negative_limits=True),
        Model(name="Sim AC 2.1", version=V21),
        Model(name="Sim V2G 2.1", version=V21, discharges=True, setpoints=True),
        Model(name="Sim V2G 2.1 Dynamic", version=V21, discharges=True, setpoints=True, dynamic=True),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSpec:
    """One station as installed. ``configuration`` overrides 1.6 keys, or 2.x variables as ``Component.Variable``.

    ``sample_interval_s`` is the interval until the CSMS sets another; ``interval_fraction`` scales what the CSMS sets.
    """

    id: str
    model: Model
    evses: tuple[EvseSpec, ...] = (EvseSpec(),)
    sample_interval_s: float = 60.0
    interval_fraction: float = 1.0
    tick_s: float = 1.0
    call_timeout_s: float = 30.0
    reconnect_s: float = 1.0
    notify_event: bool = False
    configuration: dict[str, str] = field(default_factory=dict)
