"""The domain `mtg`: a judge's questions of a trading card game. `Mtg` is its class; situation.py is the simulator."""

from heimdall_nb.domains.mtg.domain import Mtg

__all__ = ["Mtg"]
