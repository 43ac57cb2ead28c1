"""Student, projections and exits as one module: what a step's forward pass gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.config.terms import Term
from limbeck.data.batches import Batch
from limbeck.teacher.ask import ask
from limbeck.teacher.attention import part_width
from limbeck.teacher.family import Family, head_count, layer_count
from limbeck.teacher.load import Checkpoint, class_count
from limbeck.teacher.parts import Part
from limbeck.training.auxiliary import exit_logits, make_exits, make_projections, projected_layers
from limbeck.training.inputs import Sides
from limbeck.training.layer_maps import Depths, student_parts
from limbeck.training.lessons import Lessons

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Said:
    """What the student says about a batch.

    Attributes:
        logits: [batch, classes]; of a language model what `teacher.foretelling` tells of places.
        states: Its own parts.
        projected: Hidden states at the teacher's width, of layers that have another.
        exits: Layer to the logits of the exit after it.
    """

    logits: Tensor
    states: dict[Part, Tensor]
    projected: dict[Part, Tensor]
    exits: dict[int, Tensor]


def sides_of(
    model: PreTrainedModel, checkpoint: Checkpoint, lessons: Lessons, *, seed: int
) -> Sides:
    """What terms must know of student and teacher."""
    config, teacher = model.config, lessons.teacher
    own = layer_count(config)
    return Sides(
        depths=Depths(own, teacher.layers if teacher else own),
        student_heads=head_count(config),
        teacher_heads=teacher.heads if teacher else head_count(config),
        first_token=-1 if checkpoint.pads_left else 0,
        seed=seed,
        task=lessons.task,
    )


def make_joint(
    model: PreTrainedModel, family: Family, terms: Sequence[Term], lessons: Lessons, sides: Sides
) -> nn.Module:
    """Student, projections and exits as one module, so that one wrapper averages all gradients.

    Its attributes are `model`, `projections` and `exits`; a forward pass takes a `Batch` and gives
    what the student `Said`.
    """
    import torch
    from torch import nn

    local = getattr(model.config, "layer_types", None) is not None
    plain = family.vectors.shares is None and not family.causal and not local
    parts = student_parts(terms, sides.depths, distributions=not plain)
    layers = projected_layers(terms, sides.depths)
    generator = torch.Generator().manual_seed(sides.seed)
    config = model.config
    widths = {layer: part_width(config, Part("hidden", layer)) for layer in layers}
    projected = nn.ModuleDict()
    if lessons.teacher is not None:
        wanted = {layer: lessons.teacher.hidden for layer in layers}
        wanted |= {layer: lessons.teacher.embedding for layer in layers if layer == 0}
        projected = make_projections(widths, wanted, generator)
    exits = make_exits(terms, config.hidden_size, class_count(model), generator)

    class Joint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.projections, self.exits = model, projected, exits

        def forward(self, batch: Batch) -> Said:
            answer = ask(self.model, batch, family, parts, top_k=0)
            states = answer.states
            hidden = {int(n): Part("hidden", int(n)) for n in self.projections}
            mask = batch.attention_mask.to(answer.logits.device, non_blocking=True)
            return Said(
                logits=answer.logits,
                states=states,
                projected={p: self.projections[str(n)](states[p]) for n, p in hidden.items()},
                exits=exit_logits(self.exits, states, mask),
            )

    return Joint()
