"""From a call to the one definition that it leads to, over all files of a repository; unclear calls lead nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heimdall_nb.domains.repository_names import Path
from heimdall_nb.domains.repository_rules import pattern
from heimdall_nb.domains.repository_source import Source, Unit

_HOPS = 4  # through package files and functions that return a type


class Links:
    """The definitions of a repository by their paths."""

    def __init__(self, sources: Iterable[Source], prefix: Path) -> None:
        """`prefix` is what imports write before the paths of the repository: its folder's name, or a module's name."""
        self.prefix = prefix
        self.exports: dict[Path, Path] = {}
        self._by_path: dict[Path, list[Unit]] = {}
        self._by_name: dict[str, dict[Path, list[Unit]]] = {}
        for source in sources:
            self.exports |= source.exports
            for unit in source.units:
                if unit.kind != "test":
                    units = self._by_path.setdefault(unit.path, [])
                    units.append(unit)
                    self._by_name.setdefault(unit.name, {})[unit.path] = units

    def find(self, path: Path, exact: bool, hops: int = _HOPS) -> Unit | None:
        """The function or type that `path` names; None where none or several do."""
        if not path or not hops:
            return None
        for whole in (path, self._inside(path)):
            if whole in self._by_path:
                units = self._by_path[whole]
                return units[0] if len(units) == 1 else None
        for whole in (path, self._inside(path)):
            for size in range(len(whole), 0, -1):
                if whole[:size] in self.exports:
                    return self.find((*self.exports[whole[:size]], *whole[size:]), False, hops - 1)
        if len(path) > 1 and (found := self._of_result(path, exact, hops)) is not None:
            return found
        return None if exact else self._by_end(path)

    def _inside(self, path: Path) -> Path:
        """The path without what stands for the repository itself."""
        size = len(self.prefix)
        return path[size:] if size and path[:size] == self.prefix else path

    def _of_result(self, path: Path, exact: bool, hops: int) -> Unit | None:
        """`make.run` where `make` returns a type that has `run`."""
        maker = self.find(path[:-1], exact, hops - 1)
        if maker is None or not maker.result:
            return None
        return self.find((*maker.result, path[-1]), False, hops - 1)

    def _by_end(self, path: Path) -> Unit | None:
        """The only definition whose path ends in `path`, of at least two names."""
        if len(path) < 2:
            return None
        found = [units for whole, units in self._by_name.get(path[-1], {}).items() if whole[-len(path) :] == path]
        return found[0][0] if len(found) == 1 and len(found[0]) == 1 else None


def prefix_of(name: str, texts: Mapping[str, str], table: Mapping[str, object]) -> Path:
    """The prefix of a repository in a folder called `name`; `texts` are files of its root that may name a module."""
    wanted = table.get("prefix")
    if not isinstance(wanted, dict):
        return (name,)
    match = pattern(f"(?m){wanted['name']}").search(texts.get(wanted["file"], ""))
    return tuple(part for part in match[1].split("/") if part) if match else (name,)
