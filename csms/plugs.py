"""Policy plugs of other packages: entry points of the group ``tidewatt.policies``, as [policies] chooses them."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from csms.domain.errors import BadSettings
from csms.settings import PolicySettings
from policies.plugs import Plug, Policies
from policies.registry import REGISTRY, UnknownPlug, choose

GROUP = "tidewatt.policies"


def chosen(settings: PolicySettings) -> Policies:
    """The policies that the configuration names. An entry point is called ``kind.name-version`` and is a ``Plug``; only
    those that are named are loaded. Raises BadSettings that names the key, or the entry point, and the remedy."""
    names = settings.model_dump()
    wanted = {f"{kind}.{name}" for kind, given in names.items() for name in _listed(given)}
    built_in = {f"{kind}.{name}" for kind, plugs in REGISTRY.items() for name in plugs}
    try:
        return choose(names, _loaded(entry for entry in entry_points(group=GROUP) if entry.name in wanted - built_in))
    except UnknownPlug as error:
        raise BadSettings(str(error)) from error


def _listed(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _loaded(found: Iterable[EntryPoint]) -> dict[str, dict[str, Plug[Any]]]:
    plugs: dict[str, dict[str, Plug[Any]]] = {}
    for entry in found:
        kind, _, name = entry.name.partition(".")
        plugs.setdefault(kind, {})[name] = _plug(entry, name)
    return plugs


def _plug(entry: EntryPoint, name: str) -> Plug[Any]:
    where = f"entry point {entry.name} = {entry.value} of the group {GROUP}"
    try:
        plug = entry.load()
    except Exception as error:  # whatever an outside module does when it is imported, the start says which one it was
        raise BadSettings(f"{where}: cannot be loaded ({error!r}); mend or remove the package") from error
    if not isinstance(plug, Plug) or plug.id != name or not callable(plug.run):
        raise BadSettings(f"{where}: must be a policies.plugs.Plug whose name and version are {name}")
    return plug
