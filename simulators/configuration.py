"""What a CSMS can read and set: 1.6 keys and 2.x variables, with one short name for what the station itself uses."""

from dataclasses import dataclass, replace

from simulators.models import V16, V21, StationSpec

MEASURANDS = (
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "SoC",
    "Voltage",
    "Current.Import",
    "Current.Export",
)
SAMPLED = ",".join(MEASURANDS[:5])

KEYS_V16 = {
    "heartbeat": "HeartbeatInterval",
    "interval": "MeterValueSampleInterval",
    "measurands": "MeterValuesSampledData",
    "connection_timeout": "ConnectionTimeOut",
    "authorize_remote": "AuthorizeRemoteTxRequests",
    "stop_invalid": "StopTransactionOnInvalidId",
    "offline_unknown": "AllowOfflineTxForUnknownId",
}
KEYS_V2 = {
    "heartbeat": "OCPPCommCtrlr.HeartbeatInterval",
    "interval": "SampledDataCtrlr.TxUpdatedInterval",
    "measurands": "SampledDataCtrlr.TxUpdatedMeasurands",
    "connection_timeout": "TxCtrlr.EVConnectionTimeOut",
    "authorize_remote": "AuthCtrlr.AuthorizeRemoteStart",
    "stop_invalid": "TxCtrlr.StopTxOnInvalidId",
    "offline_unknown": "AuthCtrlr.OfflineTxForUnknownIdEnabled",
    "start_point": "TxCtrlr.TxStartPoint",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key or variable. ``kind``: "text", "number", "boolean" or "measurands"."""

    value: str
    kind: str = "text"
    readonly: bool = False
    touched: bool = False


class Configuration:
    """The settings of one station."""

    def __init__(self, spec: StationSpec) -> None:
        is_v16 = spec.model.version == V16
        self._names = KEYS_V16 if is_v16 else KEYS_V2
        self.settings = _settings_v16(spec) if is_v16 else _settings_v2(spec)
        for key, value in spec.configuration.items():
            self.settings[key] = replace(self.settings.get(key, Setting("")), value=value)

    def text(self, name: str) -> str:
        """A value by the station's own short name."""
        return self.settings[self._names[name]].value

    def number(self, name: str) -> float:
        return float(self.text(name))

    def is_on(self, name: str) -> bool:
        return self.text(name).lower() == "true"

    def interval_s(self, fraction: float) -> float:
        """The sample interval; what the CSMS has set is scaled. 0 = no samples."""
        return self.number("interval") * (fraction if self.settings[self._names["interval"]].touched else 1.0)

    def change(self, key: str, value: str) -> str:
        """Set one: "Accepted", "Rejected" (read-only or nonsense) or "Unknown"."""
        setting = self.settings.get(key)
        if setting is None:
            return "Unknown"
        if setting.readonly or not _fits(setting.kind, value):
            return "Rejected"
        self.settings[key] = replace(setting, value=value, touched=True)
        return "Accepted"


def _fits(kind: str, value: str) -> bool:
    match kind:
        case "number":
            return value.strip().isdigit()
        case "boolean":
            return value.lower() in ("true", "false")
        case "measurands":  # a box refuses the whole list for one that it does not know (reference V2G §4)
            return all(item.strip() in MEASURANDS for item in value.split(",") if item.strip())
        case _:
            return True


def _number(value: float, *, readonly: bool = False) -> Setting:
    return Setting(f"{value:g}", "number", readonly)


def _boolean(*, on: bool) -> Setting:
    return Setting("true" if on else "false", "boolean")


def _fixed(value: str) -> Setting:
    return Setting(value, readonly=True)


def _settings_v16(spec: StationSpec) -> dict[str, Setting]:
    return {
        "AuthorizeRemoteTxRequests": _boolean(on=False),
        "AllowOfflineTxForUnknownId": _boolean(on=False),
        "ChargeProfileMaxStackLevel": _number(8, readonly=True),
        "ChargingScheduleAllowedChargingRateUnit": _fixed("Current,Power"),
        "ChargingScheduleMaxPeriods": _number(24, readonly=True),
        "ClockAlignedDataInterval": _number(0),
        "ConnectionTimeOut": _number(120),
        "HeartbeatInterval": _number(300),
        "MaxChargingProfilesInstalled": _number(20, readonly=True),
        "MeterValueSampleInterval": _number(spec.sample_interval_s),
        "MeterValuesSampledData": Setting(SAMPLED, "measurands"),
        "NumberOfConnectors": _number(len(spec.evses), readonly=True),
        "StopTransactionOnEVSideDisconnect": _boolean(on=True),
        "StopTransactionOnInvalidId": _boolean(on=True),
        "SupportedFeatureProfiles": _fixed("Core,SmartCharging,RemoteTrigger"),
        "TransactionMessageAttempts": _number(3),
        "TransactionMessageRetryInterval": _number(5),
        "WebSocketPingInterval": _number(30),
    }


def _settings_v2(spec: StationSpec) -> dict[str, Setting]:
    common = {
        "AuthCtrlr.AuthorizeRemoteStart": _boolean(on=False),
        "AuthCtrlr.OfflineTxForUnknownIdEnabled": _boolean(on=False),
        "AlignedDataCtrlr.Interval": _number(0),
        "EVSE.Power": _number(spec.evses[0].max_charge_w, readonly=True),
        "OCPPCommCtrlr.HeartbeatInterval": _number(300),
        "OCPPCommCtrlr.WebSocketPingInterval": _number(30),
        "SampledDataCtrlr.TxEndedMeasurands": Setting(SAMPLED, "measurands"),
        "SampledDataCtrlr.TxStartedMeasurands": Setting(SAMPLED, "measurands"),
        "SampledDataCtrlr.TxUpdatedInterval": _number(spec.sample_interval_s),
        "SampledDataCtrlr.TxUpdatedMeasurands": Setting(SAMPLED, "measurands"),
        "SmartChargingCtrlr.Available": _fixed("true"),
        "SmartChargingCtrlr.Enabled": _boolean(on=True),
        "SmartChargingCtrlr.PeriodsPerSchedule": _number(24, readonly=True),
        "SmartChargingCtrlr.ProfileStackLevel": _number(8, readonly=True),
        "SmartChargingCtrlr.RateUnit": _fixed("A,W"),
        "TxCtrlr.EVConnectionTimeOut": _number(120),
        "TxCtrlr.StopTxOnEVSideDisconnect": _boolean(on=True),
        "TxCtrlr.StopTxOnInvalidId": _boolean(on=True),
        "TxCtrlr.TxStartPoint": Setting("EVConnected"),
        "TxCtrlr.TxStopPoint": Setting("EVConnected,Authorized"),
    }
    return common | (_settings_v2x(spec) if spec.model.version == V21 and spec.model.discharges else {})


def _settings_v2x(spec: StationSpec) -> dict[str, Setting]:
    return {
        "EVSE.DischargePower": _number(spec.evses[0].max_discharge_w, readonly=True),
        "ISO15118Ctrlr.Enabled": _boolean(on=True),
        "SmartChargingCtrlr.SupportsFeature[DynamicProfiles]": _fixed(str(spec.model.dynamic).lower()),
        "SmartChargingCtrlr.SupportsFeature[MaxOfflineDuration]": _fixed("true"),
        "V2XChargingCtrlr.Enabled": _boolean(on=True),
        "V2XChargingCtrlr.SupportedEnergyTransferModes": _fixed("AC_single_phase,AC_three_phase,AC_BPT"),
        "V2XChargingCtrlr.SupportedOperationModes": _fixed("ChargingOnly,CentralSetpoint,CentralFrequency,Idle"),
    }
