"""Classes of thin models: with limbeck imported, AutoModel and pipelines load them.

transformers keeps tables from model types to config classes and from these to model classes.
Readers of configs go into the first as soon as transformers is imported (`limbeck/__init__.py`),
which costs next to nothing; the classes of a type are made when a config of that type is read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from limbeck.teacher.family import family_of
from limbeck.teacher.thin import KEPT, PATHS, Kept, make_blank, stock_type, thin_type

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_HEADS = (
    "AutoModel",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
)
"""The classes that thin models are loaded by."""


def register_configs() -> None:
    """Let AutoConfig know the model types of thin models."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for model_type in PATHS:
        CONFIG_MAPPING.register(thin_type(model_type), _reader(model_type), exist_ok=True)


def as_stock(config: PreTrainedConfig) -> PreTrainedConfig:
    """The config of transformers' own class; another than a thin one as it is."""
    model_type = stock_type(config)
    if model_type == config.model_type:
        return config
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    content = config.to_dict()
    content.pop(KEPT, None)
    stock: Any = CONFIG_MAPPING[model_type]
    found = stock.from_dict(content | {"model_type": model_type})
    found.name_or_path = config.name_or_path
    return found


def _reader(model_type: str) -> Any:
    """What AutoConfig takes for the config class of a type of thin models.

    The class itself cannot be made here: its base may be in the middle of its import.
    """

    def from_dict(config_dict: dict[str, Any], **settings: Any) -> Any:
        _register_models(model_type)
        return _config_class(model_type).from_dict(config_dict, **settings)

    return type(
        "Reader", (), {"model_type": thin_type(model_type), "from_dict": staticmethod(from_dict)}
    )


@cache
def _config_class(model_type: str) -> type[PreTrainedConfig]:
    """The config class of the thin models of a type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    stock: Any = CONFIG_MAPPING[model_type]

    members = {
        "model_type": thin_type(model_type),
        "__module__": __name__,
        "__doc__": f"Of a {model_type} whose layers have lost heads and neurons.",
    }
    return cast("type[PreTrainedConfig]", type(f"Thin{stock.__name__}", (stock,), members))


@cache
def _register_models(model_type: str) -> None:
    """Let AutoModel and its siblings know the thin models of a type."""
    import transformers

    stock, thin = transformers.CONFIG_MAPPING[model_type], _config_class(model_type)
    for name in _HEADS:
        auto: Any = getattr(transformers, name)
        auto.register(thin, _model_class(auto._model_mapping[stock], thin), exist_ok=True)


def _model_class(stock: Any, config_class: type[PreTrainedConfig]) -> Any:
    """Transformers' own class, which loses heads and neurons as soon as it is made."""

    def made(self: Any, config: Any, *arguments: Any, **settings: Any) -> None:
        stock.__init__(self, config, *arguments, **settings)
        kept = Kept.of(getattr(config, KEPT))
        make_blank(self, family_of(as_stock(config), "config.json"), kept)

    members = {
        "config_class": config_class,
        "__init__": made,
        "__module__": __name__,
        "__doc__": f"A {stock.__name__} whose layers have lost heads and neurons.",
    }
    return type(f"Thin{stock.__name__}", (stock,), members)
