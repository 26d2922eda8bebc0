"""The two ways a stage can end badly, each with the exit status that the command returns."""

from __future__ import annotations


class HeimdallError(Exception):
    """A run that could not finish: one sentence for the user, exit status 1."""

    exit_code = 1


class BadInput(HeimdallError):
    """Input that the user can mend: what is wrong, where, and what to do; exit status 2."""

    exit_code = 2

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{what.rstrip('.')}." + (f" {remedy}" if remedy else ""))
