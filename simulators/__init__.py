"""A simulated street: vehicles, stations and drivers that talk to any central system over real sockets.

The package shares no code with the server. From the inside out:

- ``battery``, ``ev``, ``evse``: physics, pure. Power in W at the AC connection point, + into the vehicle.
- ``profiles``: the charging profile stack of OCPP 1.6 and 2.x, pure.
- ``hardware``: one station's state; ``station_v16`` and ``station_v2`` are its dialects; ``station`` connects it.
- ``behaviours``: misbehaviour as data, composable by name.
- ``driver``: a person with a phone, over HTTP. ``scenario`` and ``street``: who comes when.

``csms-simulate run simulators/scenarios/street.toml`` runs a street against a server; ``csms-simulate
behaviours`` lists what stations can get wrong. In a test::

    station = Station(StationSpec(id="S1", model=MODELS["Sim V2G 2.1"]), "ws://127.0.0.1:9000/ocpp", password="…")
    async with station:
        await station.until(lambda: station.online)
        station.plug(Ev(Battery(60_000, 30_000), max_charge_w=7400, max_discharge_w=7400))
        station.present("CARD0001")
"""
