"""What a checkpoint tells sentence-transformers' CrossEncoder: whether scores are sigmoids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.errors import TeacherError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

KEY = "sentence_transformers"
"""Of a config, for settings of sentence-transformers; that library reads it too."""
_ACTIVATION = "activation_fn"
_BEFORE_4 = "sbert_ce_default_activation_function"
_NAMES = {
    False: "torch.nn.modules.linear.Identity",
    True: "torch.nn.modules.activation.Sigmoid",
}


def tells_sigmoids(config: PreTrainedConfig, *, where: str) -> bool:
    """Whether a CrossEncoder of this config gives the sigmoid of the model's output.

    A config that says nothing of it is none of sentence-transformers', and the output is told as
    it is.

    Args:
        config: The checkpoint's.
        where: Its path, for the message.

    Raises:
        TeacherError: For an activation that is neither sigmoid nor identity.
    """
    settings: dict[str, Any] = getattr(config, KEY, None) or {}
    name = settings.get(_ACTIVATION) or getattr(config, _BEFORE_4, None)
    kind = str(name).rsplit(".", 1)[-1]
    if name is not None and kind not in ("Identity", "Sigmoid"):
        raise TeacherError(
            f"{where}/config.json",
            f"its scores go through {name}, which limbeck does not know",
            "Only the order counts: write torch.nn.modules.linear.Identity there.",
        )
    return kind == "Sigmoid"


def set_activation(config: PreTrainedConfig, *, sigmoid: bool) -> None:
    """Let a CrossEncoder of this config give the model's output, or its sigmoid."""
    write_activation(config, _NAMES[sigmoid])


def write_activation(config: PreTrainedConfig, name: str) -> None:
    """Write the activation of a name, such as torch.nn.modules.linear.Identity, into a config."""
    settings: dict[str, Any] = getattr(config, KEY, None) or {}
    setattr(config, KEY, settings | {_ACTIVATION: name})
    if hasattr(config, _BEFORE_4):
        delattr(config, _BEFORE_4)
