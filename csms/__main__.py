"""The command line. Errors of ours are one line on standard error, never a traceback; exit code 2.

Exit code 3: the server ended itself, as its writer or its lock on the database was gone; start it again."""

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from csms import app as daemon
from csms import checks, log, settings
from csms.clock import SystemClock
from csms.control.permission.people import hash_token
from csms.control.retention.retention import Outcome, Retention
from csms.control.stations.credentials import KEY_NAME, Passwords, hash_password, key_of, new_password
from csms.domain.errors import CsmsError, Halted
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.station import Evse, Ratings, Station
from csms.edge.http.auth import Scope
from csms.store import migrate as migrate_database
from csms.store import open_store, writes

ABOUT = """Tidewatt: a central system for OCPP charging stations that charges and discharges vehicles for the grid.

Begin with `csms demo`, which needs nothing; then edit config.toml and run `csms serve`."""

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=ABOUT)
token_cli = typer.Typer(no_args_is_help=True, help="Tokens of the HTTP API.")
station_cli = typer.Typer(no_args_is_help=True, help="Stations.")
cli.add_typer(token_cli, name="token")
cli.add_typer(station_cli, name="station")

CONFIG_HELP = "the settings; without it ./config.toml where there is one, else the defaults"
Config = Annotated[Path | None, typer.Option("--config", help=CONFIG_HELP)]
DEFAULT_CONFIG = Path("config.toml")


def load(config: Path | None) -> settings.Settings:
    """The named file, else config.toml where there is one, else the defaults."""
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    return settings.load(config)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"csms {version('tidewatt')}")
        raise typer.Exit


@cli.callback()
def root(
    shows_version: Annotated[
        bool, typer.Option("--version", help="print the version and end", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself; ABOUT is its help."""


@cli.command()
def serve(config: Config = None) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    loaded = load(config)
    log.configure(loaded.log)
    daemon.run(loaded)


@cli.command()
def check(config: Config = None) -> None:
    """Read the configuration and say whether it is right."""
    loaded = load(config)
    checks.check(loaded)
    typer.echo(f"right: {len(loaded.site)} sites, {len(loaded.tariff)} tariffs, database {loaded.database.url}")


@cli.command()
def migrate(config: Config = None) -> None:
    """Bring the database to this version's schema."""
    loaded = load(config)
    migrate_database(loaded.database.url)
    typer.echo(f"the schema of {loaded.database.url} is up to date")


@cli.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how many rows would go")] = False,
    config: Config = None,
) -> None:
    """Let go of what is older than [retention] says, as the server does each day; also beside a running server."""
    loaded = load(config)

    async def work() -> list[Outcome]:
        store = open_store(loaded.database.url)
        try:
            retention = Retention(store, SystemClock(), loaded.retention)
            return await (retention.look() if dry_run else retention.run())
        finally:
            await store.close()

    verb = "would go" if dry_run else "went"
    for outcome in asyncio.run(work()):
        typer.echo(f"{outcome.name}: {outcome.rows} rows of {outcome.table} from before {outcome.cut:%Y-%m-%d} {verb}")


@token_cli.command("create")
def create_token(
    scope: Annotated[Scope, typer.Option(help="what it may do")],
    name: Annotated[str, typer.Option(help="whose it is, for the log")] = "",
    config: Config = None,
) -> None:
    """Make a token and print it; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    work = partial(
        writes.add_api_token, token_hash=hash_token(token), scope=scope.value, name=name, at=SystemClock().now()
    )
    write_once(load(config), work)
    typer.echo(token)


@station_cli.command("add")
def add_station(  # noqa: PLR0913, PLR0917  options of a command
    station: Annotated[str, typer.Argument(help="identity, the last part of its URL")],
    password: Annotated[str, typer.Option(envvar="STATION_PASSWORD", help="16 to 64 characters; made when empty")] = "",
    site: str = "default",
    evses: Annotated[int, typer.Option(min=1, max=64)] = 1,
    max_charge_w: int = 7360,
    max_discharge_w: int = 0,
    config: Config = None,
) -> None:
    """Provision a station while the server is stopped; a running one takes POST /api/v1/stations."""
    loaded = load(config)
    if site not in {entry.id for entry in loaded.site}:
        raise CsmsError(f"--site {site}: there is no [[site]] with this id in the configuration")
    made = password or new_password()
    id_ = StationId(station)
    ratings = Ratings(max_charge_w=max_charge_w, max_discharge_w=max_discharge_w)
    numbered = tuple(Evse(ref=EvseRef(id_, n), site=SiteId(site), ratings=ratings) for n in range(1, evses + 1))
    record = Station(id=id_, site=SiteId(site), evses=numbered)
    chosen = hash_password(password) if password else ""

    def write(conn: Any) -> None:
        key = key_of(writes.secret_once(conn, name=KEY_NAME, value=secrets.token_hex(32)))
        writes.upsert_station(conn, record, chosen or Passwords(key).of_made(id_, made))

    write_once(loaded, write)
    typer.echo(json.dumps({"id": station, "password": made}))


@cli.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="no waiting for Ctrl-C: end after --seconds")] = False,
    seconds: Annotated[int, typer.Option(min=20, max=86_400)] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="print the outcome as one JSON line at the end")] = False,
) -> None:
    """Run a server and, beside it, a simulated street over real sockets."""
    from csms.demo import run  # noqa: PLC0415  not needed by the daemon

    run(headless=headless, seconds=seconds, as_json=as_json)


def write_once(loaded: settings.Settings, work: Callable[[Any], None]) -> None:
    """One write to the database, also beside a running server."""

    async def write() -> None:
        store = open_store(loaded.database.url)
        try:
            await store.writer.run(work)
        finally:
            await store.close()

    asyncio.run(write())


def main() -> None:
    """Entry point."""
    try:
        cli()
    except CsmsError as error:
        sys.stderr.write(f"csms: {error}\n")
        sys.exit(3 if isinstance(error, Halted) else 2)


if __name__ == "__main__":
    main()
