"""Distill a fine-tuned BERT-family model into one that fits, and prove what is left of it."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

if TYPE_CHECKING:
    from limbeck.config.load import load_recipe
    from limbeck.config.recipe import Recipe, TeachRecipe
    from limbeck.distill import distill
    from limbeck.errors import LimbeckError
    from limbeck.evaluation.frontier import Frontier
    from limbeck.evaluation.report import Report
    from limbeck.frontier import frontier
    from limbeck.plan import plan
    from limbeck.pretrain import pretrain
    from limbeck.serve.predictor import Prediction, Predictor
    from limbeck.teach import teach

__version__ = "0.1.0"
__all__ = [
    "Frontier",
    "LimbeckError",
    "Prediction",
    "Predictor",
    "Recipe",
    "Report",
    "TeachRecipe",
    "distill",
    "frontier",
    "load_recipe",
    "plan",
    "pretrain",
    "teach",
]

_HOMES = {
    "Frontier": "limbeck.evaluation.frontier",
    "LimbeckError": "limbeck.errors",
    "Prediction": "limbeck.serve.predictor",
    "Predictor": "limbeck.serve.predictor",
    "Recipe": "limbeck.config.recipe",
    "Report": "limbeck.evaluation.report",
    "TeachRecipe": "limbeck.config.recipe",
    "distill": "limbeck.distill",
    "frontier": "limbeck.frontier",
    "load_recipe": "limbeck.config.load",
    "plan": "limbeck.plan",
    "pretrain": "limbeck.pretrain",
    "teach": "limbeck.teach",
}


class _Package(ModuleType):
    """Keeps `limbeck.distill` the function: importing the module of that name would replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    # Imported when first used: `limbeck --help` must not wait for torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def _know_thin_models(_: ModuleType) -> None:
    import_module("limbeck.teacher.thin_classes").register_configs()


# AutoModel loads pruned students once limbeck is imported, before or after transformers.
register_post_import_hook(_know_thin_models, "transformers.models.auto.configuration_auto")
