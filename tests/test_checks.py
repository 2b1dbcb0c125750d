"""``csms check``: a configuration that would not start, or not work, is not called right. E7."""

from pathlib import Path
from typing import Any

import pytest

from csms.checks import check
from csms.domain.errors import CsmsError
from csms.settings import Settings


def settings(folder: Path, **sections: Any) -> Settings:
    return Settings.model_validate({"database": {"url": f"sqlite:///{folder / 'right.db'}"}} | sections)


def test_e7_the_defaults_are_right(tmp_path: Path) -> None:
    check(settings(tmp_path))


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"database": {"url": "mysqlx://foo"}}, "database url"),
        ({"database": {"url": "sqlite:////there/is/none/x.db"}}, "no folder /there/is/none"),
        ({"http": {"public_url": "nonsense"}}, "http.public_url"),
        ({"http": {"port": 9000}}, "ocpp.port and http.port"),
        ({"http": {"port": 9000, "host": "0.0.0.0"}}, "ocpp.port and http.port"),
        ({"dispatch": {"tick_s": 10, "setpoint_validity_s": 19}}, "setpoint_validity_s"),
        (
            {"tariff": [{"period": [{"start": "07:00", "price_per_kwh": 1}, {"start": "07:00", "price_per_kwh": 2}]}]},
            "same start",
        ),
        ({"policies": {"availability": ["no-such-plug-1"]}}, "no-such-plug-1"),
    ],
)
def test_e7_what_is_wrong_is_named(tmp_path: Path, sections: dict[str, Any], named: str) -> None:
    with pytest.raises(CsmsError, match=named):
        check(settings(tmp_path, **sections))
