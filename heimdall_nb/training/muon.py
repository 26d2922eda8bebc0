"""Muon for processors without bf16: the same optimiser as `torch.optim.Muon`, with its arithmetic in fp32.

PyTorch's own makes the update orthogonal in bf16 (Newton-Schulz iteration; Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon/). Where the hardware lacks bf16, this one step takes ten times the rest.
"""

from __future__ import annotations

import math
from typing import Any

import torch


class Float32Muon(torch.optim.Muon):
    """`torch.optim.Muon` with `match_rms_adamw`; state and arguments are the same."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of the optimiser."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        buffer, momentum = state["momentum_buffer"], group["momentum"]
        buffer.lerp_(parameter.grad, 1 - momentum)
        update = parameter.grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-0.2 * math.sqrt(max(parameter.shape)) * group["lr"])


def orthogonal(matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> torch.Tensor:
    """A nearly orthogonal matrix with the singular vectors of `matrix`, by `steps` quintic Newton-Schulz iterations.

    For a long matrix the iterations run on its small Gram matrix alone: each is a polynomial of it times the matrix,
    and the product of all polynomials is applied once, at the end.
    """
    a, b, c = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    found = wide.float() / wide.norm().clamp(min=eps)
    rows, columns = found.shape
    if columns < 2 * rows:
        for _ in range(steps):
            gram = found @ found.T
            found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    else:
        gram, product = found @ found.T, torch.eye(rows)
        for _ in range(steps):
            polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
            polynomial.diagonal().add_(a)
            product, gram = polynomial @ product, polynomial @ gram @ polynomial
        found = product @ found
    return found.T if matrix.shape[0] > matrix.shape[1] else found
