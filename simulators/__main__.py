"""The command ``csms-simulate``."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from simulators.behaviours import BEHAVIOURS, FAULTLESS, Behaviour
from simulators.models import MODELS
from simulators.scenario import BadScenario, Scenario, load
from simulators.street import Street
from simulators.twin.fleet import mixed_case
from simulators.twin.loop import run as play
from simulators.twin.truth import compared, lines, summary

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Simulated stations, vehicles and drivers.")


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="a scenario file, TOML")],
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="stop after so long; default: the last departure")
    ] = None,
    seed: Annotated[int, typer.Option(help="for meters, visits drawn by chance, and back-off")] = 0,
) -> None:
    """Run a street against a server; print a JSON summary as the last line."""
    try:
        street = load(scenario, seed)
    except BadScenario as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(orjson.dumps(asyncio.run(_live(street, seconds, seed))).decode())


async def _live(scenario: Scenario, seconds: float | None, seed: int) -> dict[str, Any]:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    street = Street(scenario, seed)
    await street.run(seconds, stop)
    return street.summary()


@app.command()
def twin(
    *,
    truth: Annotated[
        bool, typer.Option("--truth", help="play it without the event too, and compare what the policies state")
    ] = False,
    seed: Annotated[int, typer.Option(help="for the fleet")] = 1,
    vehicles: Annotated[int, typer.Option(min=1, help="how many come")] = 300,
    hours: Annotated[float, typer.Option(min=6, help="length of the run; the event is from hour 2 to 6")] = 12.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines")] = False,
) -> None:
    """The product's policies in virtual time on a mixed fleet: a 4-h event, stated figures beside the true ones."""
    case = mixed_case(seed, vehicles, hours)
    result = compared(case).as_json() if truth else summary(play(case))
    typer.echo(orjson.dumps(result).decode() if as_json else "\n".join(lines(result)))


@app.command()
def behaviours() -> None:
    """List the misbehaviours that a station can be given."""
    for name, behaviour in BEHAVIOURS.items():
        typer.echo(f"{name}: {differences(behaviour)}")


@app.command()
def models() -> None:
    """List the stations that can be simulated."""
    for model in MODELS.values():
        typer.echo(f"{model.name} ({model.version})")


def differences(behaviour: Behaviour) -> str:
    """What is not as in a faultless station."""
    names = Behaviour.__dataclass_fields__
    changed = {name: getattr(behaviour, name) for name in names if getattr(behaviour, name) != getattr(FAULTLESS, name)}
    return ", ".join(f"{name} = {value}" for name, value in changed.items())


def main() -> None:
    """The entry point of ``csms-simulate``."""
    app()


if __name__ == "__main__":
    main()
