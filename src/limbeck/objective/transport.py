"""Which layers the student learns from when that is to be found out: an optimal transport."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def earth_movers_weights(
    costs: Float[Tensor, "student_layers teacher_layers"],
    student_weights: Float[Tensor, "student_layers"] | None = None,
    teacher_weights: Float[Tensor, "teacher_layers"] | None = None,
) -> Float[Tensor, "student_layers teacher_layers"]:
    """The flow of least cost from the student's layers to the teacher's.

    (flow * costs).sum() is then a term that lets each student layer learn from the teacher's
    layers it is closest to, as many as its weight fills, while every teacher layer is heard by
    its weight. For deep teachers where no map is known to be right; `even_layer_map` costs
    nothing and needs only the layers it names.

    The linear program is solved exactly, on the CPU in float64. An accelerator is waited for: it
    is some milliseconds a step.

    Args:
        costs: What matching two layers costs, such as `hidden_mse` of their states; treated as
            constants here. Pass the same tensor, with its gradient, to the product above.
        student_weights: Share of each student layer, at least 0; None for equal shares. Divided
            by their sum.
        teacher_weights: Likewise of the teacher's.

    Returns:
        How much of each student layer goes to each teacher layer: at least 0, with the student's
        shares as sums of its rows and the teacher's as sums of its columns, so 1 in all. In
        float32, on the costs' device, without a gradient. Where several flows cost the same, one
        of them.

    Raises:
        ValueError: If costs is not [student_layers teacher_layers] or empty, a cost is not
            finite (its layers would be left out unseen), weights are not one per layer, or one
            is negative or not finite, or all are 0.

    Reference:
        Li et al. BERT-EMD: Many-to-Many Layer Mapping for BERT Compression with Earth Mover's
        Distance, 2020, section 3. https://arxiv.org/abs/2010.06133
        Rubner, Tomasi, Guibas. The Earth Mover's Distance as a Metric for Image Retrieval, 2000.
        https://doi.org/10.1023/A:1026543900054
    """
    where = "earth_movers_weights"
    _refuse_costs(costs, where=where)
    student = _shares(student_weights, costs.shape[0], where=where, what="student_weights")
    teacher = _shares(teacher_weights, costs.shape[1], where=where, what="teacher_weights")
    flow = _cheapest_flow(costs.detach().double().cpu().numpy(), student, teacher)
    return torch.as_tensor(flow, dtype=torch.float32, device=costs.device)


def transport_weights_update(
    flow: Float[Tensor, "student_layers teacher_layers"],
    costs: Float[Tensor, "student_layers teacher_layers"],
    *,
    student_weights: Float[Tensor, "student_layers"],
    teacher_weights: Float[Tensor, "teacher_layers"],
    temperature: float,
) -> tuple[Float[Tensor, "student_layers"], Float[Tensor, "teacher_layers"]]:
    """softmax(s / temperature) over layers, with s = (sum of all layers' u) / (a layer's u).

    u is what a layer's flow costs per unit of its weight. Layers that are matched cheaply get
    more weight in the next `earth_movers_weights`, so that the flow settles on what student and
    teacher can share.

    Args:
        flow: As `earth_movers_weights` gave it.
        costs: Those it was found for; treated as constants.
        student_weights: Those it was found for, at least 0.
        teacher_weights: Those it was found for, at least 0.
        temperature: Positive and finite. The larger, the more alike the weights stay.

    Returns:
        The student's and the teacher's new weights, positive, with a sum of 1 each, in float32.
        Equal where all layers cost the same, or nothing. A layer that costs nothing, or had no
        weight, has nothing to learn: its s is 0, the least.

    Raises:
        ValueError: If flow and costs differ in shape or are not
            [student_layers teacher_layers], weights are not one per layer, or temperature is
            not positive and finite.

    Reference:
        Li et al. BERT-EMD: Many-to-Many Layer Mapping for BERT Compression with Earth Mover's
        Distance, 2020, cost attention. https://arxiv.org/abs/2010.06133
        As in the authors' published code, there with one temperature for both sides too.
    """
    where = "transport_weights_update"
    if flow.ndim != 2 or flow.shape != costs.shape:
        raise ValueError(
            f"{where}: flow has shape {tuple(flow.shape)}, costs has shape {tuple(costs.shape)}. "
            f"Both must be [student_layers teacher_layers]. Pass the costs the flow was found for."
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"{where}: temperature is {temperature}. It must be positive and finite. "
            f"Use 1, or more to keep the weights alike."
        )
    spent = (flow * costs).detach().float()
    sides = ((student_weights, spent.sum(1)), (teacher_weights, spent.sum(0)))
    updated = []
    for (weights, spent_by_layer), what in zip(
        sides, ("student_weights", "teacher_weights"), strict=True
    ):
        _refuse_weight_shape(weights, spent_by_layer.shape[0], where=where, what=what)
        given = weights.detach().float()
        unit = spent_by_layer / given.where(given > 0, 1.0)
        score = (unit.sum() / unit).where(unit > 0, 0.0)
        updated.append(torch.softmax(score / temperature, dim=0))
    return updated[0], updated[1]


def _cheapest_flow(
    costs: NDArray[np.float64], student: NDArray[np.float64], teacher: NDArray[np.float64]
) -> NDArray[np.float64]:
    from scipy.optimize import linprog

    rows, columns = costs.shape
    # One equation for every layer's share, but for the last: it follows from the others, and
    # rounding would make the two contradict each other.
    leaving = np.kron(np.eye(rows), np.ones(columns))
    arriving = np.kron(np.ones(rows), np.eye(columns))
    result = linprog(
        costs.ravel(),
        A_eq=np.concatenate([leaving, arriving])[:-1],
        b_eq=np.concatenate([student, teacher])[:-1],
        bounds=(0, None),
        method="highs",
    )
    if result.status != 0:
        raise ArithmeticError(f"earth_movers_weights: no flow was found: {result.message}")
    # The solver keeps to its bounds within some 1e-7.
    return result.x.reshape(rows, columns).clip(min=0)


def _shares(
    weights: Float[Tensor, "layers"] | None, layers: int, *, where: str, what: str
) -> NDArray[np.float64]:
    """Weights over their sum."""
    if weights is None:
        weights = torch.ones(layers)
    _refuse_weight_shape(weights, layers, where=where, what=what)
    values = weights.detach().double().cpu()
    if not (torch.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise ValueError(
            f"{where}: {what} is {values.tolist()}. Weights must be finite and at least 0, and "
            f"not all 0. Pass None for equal shares."
        )
    return (values / values.sum()).numpy()


def _refuse_weight_shape(
    weights: Float[Tensor, "layers"], layers: int, *, where: str, what: str
) -> None:
    if weights.shape != (layers,):
        raise ValueError(
            f"{where}: {what} has shape {tuple(weights.shape)}. It must be one weight per layer, "
            f"({layers},). Pass weights for the same layers as costs."
        )


def _refuse_costs(costs: Float[Tensor, "student_layers teacher_layers"], *, where: str) -> None:
    if costs.ndim != 2 or costs.numel() == 0:
        raise ValueError(
            f"{where}: costs has shape {tuple(costs.shape)}. It must be "
            f"[student_layers teacher_layers], with a layer on either side. "
            f"Pass the distance of every student layer to every teacher layer."
        )
    wrong = costs[~torch.isfinite(costs)]
    if wrong.numel() > 0:
        raise ValueError(
            f"{where}: costs contains {wrong[0].item()}. Every cost must be finite. "
            f"Check the states for NaN; leave a layer out by its weight."
        )
