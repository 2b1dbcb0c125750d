"""The plugs that come with the product, under their names; ``[policies]`` in the configuration chooses among them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from policies.counterfactual import frozen
from policies.objective import merit_cost
from policies.plugs import Plug, Policies

Registry = Mapping[str, Mapping[str, Plug[Any]]]
"""Kind -> name and version ("merit-1") -> plug."""


def _named(*plugs: Plug[Any]) -> Mapping[str, Plug[Any]]:
    return MappingProxyType({plug.id: plug for plug in plugs})


REGISTRY: Final[Registry] = MappingProxyType(
    {
        "objective": _named(Plug("merit", 1, merit_cost)),
        "baseline": _named(Plug("frozen", 1, frozen)),
        "availability": _named(),
        "adders": _named(),
        "benefits": _named(),
    }
)

DEFAULT_NAMES: Final[Mapping[str, str]] = MappingProxyType({"objective": "merit-1", "baseline": "frozen-1"})
"""Kinds of which exactly one decides; of the others any number, in the order given, by default none."""


class UnknownPlug(ValueError):
    """A name in [policies] that no plug has, or a plug that cannot be used. The text names the key and the remedy."""


def choose(names: Mapping[str, str | Sequence[str]], extra: Registry | None = None) -> Policies:
    """The policies by kind and name; a kind that is not named has its default. ``extra``: plugs from outside.

    Raises UnknownPlug for an unknown kind or name, and for an outside plug under a name that is taken.
    """
    known = _joined(extra or {})
    for kind in names:
        if kind not in known:
            raise UnknownPlug(f"policies.{kind}: there is no such kind of plug; known: {', '.join(sorted(known))}")
    chosen = {kind: tuple(_find(known, kind, name) for name in _listed(names, kind)) for kind in known}
    return Policies(
        objective=_only("objective", chosen),
        baseline=_only("baseline", chosen),
        availability=chosen["availability"],
        adders=chosen["adders"],
        benefits=chosen["benefits"],
    )


def _joined(extra: Registry) -> dict[str, dict[str, Plug[Any]]]:
    known = {kind: dict(plugs) for kind, plugs in REGISTRY.items()}
    for kind, plugs in extra.items():
        if kind not in known:
            raise UnknownPlug(f"policies.{kind}: a plug from outside is of no known kind")
        for name, plug in plugs.items():
            if name in known[kind]:
                raise UnknownPlug(f"policies.{kind}: {name} comes with the product; give the outside plug another name")
            known[kind][name] = plug
    return known


def _listed(names: Mapping[str, str | Sequence[str]], kind: str) -> tuple[str, ...]:
    given = names.get(kind, DEFAULT_NAMES.get(kind, ()))
    return (given,) if isinstance(given, str) else tuple(given)


def _find(known: Mapping[str, Mapping[str, Plug[Any]]], kind: str, name: str) -> Plug[Any]:
    if name not in known[kind]:
        there = ", ".join(sorted(known[kind])) or "none"
        raise UnknownPlug(f"policies.{kind}: there is no plug {name!r}; known: {there}")
    return known[kind][name]


def _only(kind: str, chosen: Mapping[str, tuple[Plug[Any], ...]]) -> Plug[Any]:
    if len(chosen[kind]) != 1:
        raise UnknownPlug(f"policies.{kind}: exactly one is needed, {len(chosen[kind])} are given")
    return chosen[kind][0]


DEFAULT: Final = choose({})
