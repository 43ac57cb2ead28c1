"""How a sentence encoder makes one vector of a text: read from its folder, kept in its config."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from limbeck.config.recipe import TeacherConfig
from limbeck.errors import TeacherError
from limbeck.files import read_json
from limbeck.tasks.cross_encoder import write_activation

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

KEY = "sentence_vectors"
"""Of the config; a model that has it gives vectors."""
Pooling = Literal["mean", "cls", "max"]
_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_ACTIVATIONS = {"Identity": "identity", "Tanh": "tanh"}
_REMEDY = (
    "limbeck knows a Transformer, a Pooling by mean, cls or max, at most one Dense (linear or "
    "tanh) and a Normalize, in this order. Use a teacher of these, or record the vectors elsewhere."
)


@dataclass(frozen=True)
class Dense:
    """A linear layer after the pooling, as sentence-transformers has it.

    Attributes:
        width: Of what it gives.
        bias: Whether it adds one.
        activation: identity or tanh.
    """

    width: int
    bias: bool = False
    activation: str = "identity"


@dataclass(frozen=True)
class Vectors:
    """How the token states of a text become its vector.

    Attributes:
        pooling: The mean of the real tokens, the first token's, or the largest of each number.
        normalize: Whether the vector is brought to length 1.
        dense: A layer between the two, or None.
        max_tokens: Where texts are cut; None where the tokenizer says it.
    """

    pooling: Pooling
    normalize: bool
    dense: Dense | None = None
    max_tokens: int | None = None


def vectors_of(config: PreTrainedConfig) -> Vectors | None:
    """How a model with this config makes vectors, or None if it has another head."""
    facts: dict[str, Any] | None = getattr(config, KEY, None)
    if facts is None:
        return None
    dense = facts["dense"]
    return Vectors(**{**facts, "dense": None if dense is None else Dense(**dense)})


def set_vectors(config: PreTrainedConfig, vectors: Vectors | None) -> None:
    """Write into a config how its model makes vectors, or that it makes none."""
    if vectors is not None:
        setattr(config, KEY, asdict(vectors))
    elif hasattr(config, KEY):
        delattr(config, KEY)


def note_length(config: PreTrainedConfig, max_tokens: int) -> None:
    """Note where texts are cut, so that whoever loads a saved sentence encoder cuts them there."""
    vectors = vectors_of(config)
    if vectors is not None:
        set_vectors(config, replace(vectors, max_tokens=max_tokens))


def vector_width(config: PreTrainedConfig) -> int:
    """Numbers of a vector of a model that gives vectors."""
    vectors = vectors_of(config)
    if vectors is not None and vectors.dense is not None:
        return vectors.dense.width
    return int(config.hidden_size)


def look_for_vectors(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, teacher: TeacherConfig
) -> None:
    """Note in `config` how the checkpoint makes vectors, if it is a sentence encoder.

    Raises:
        TeacherError: For a module, a pooling or a setting that limbeck does not know: its vectors
            would be others than those that sentence-transformers gives.
    """
    modules = _file(teacher.path, "modules.json")
    if modules is None:
        stated = teacher.pooling
        set_vectors(config, Vectors(stated, teacher.normalize) if stated is not None else None)
        return
    refuse_stated_pooling(teacher)
    if _is_cross_encoder(teacher.path):
        set_vectors(config, None)
        return
    set_vectors(config, _of_modules(read_json(modules), tokenizer, teacher.path))


def _is_cross_encoder(path: str) -> bool:
    """Whether the folder is of a CrossEncoder of sentence-transformers, which gives scores."""
    return _facts(path).get("model_type") == "CrossEncoder"


def note_activation(config: PreTrainedConfig, path: str) -> None:
    """Note in `config` what a CrossEncoder does to its scores, where a file beside it says so."""
    if not _is_cross_encoder(path):
        return
    refuse_prompt(path)
    name = _facts(path).get("activation_fn")
    if name:
        write_activation(config, name)


def _facts(path: str) -> dict[str, Any]:
    file = _file(path, "config_sentence_transformers.json")
    return {} if file is None else read_json(file)


def refuse_stated_pooling(teacher: TeacherConfig) -> None:
    """Refuse a recipe that says how vectors are made, where the folder says it.

    Raises:
        TeacherError: If it does.
    """
    if teacher.pooling is not None:
        raise TeacherError(
            f"{teacher.path}/modules.json",
            f"it says how vectors are made, and so does teacher.pooling ({teacher.pooling})",
            "Delete teacher.pooling and teacher.normalize.",
        )


def _of_modules(
    modules: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, path: str
) -> Vectors:
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    rest = kinds[2:]
    known = kinds[:2] == ["Transformer", "Pooling"] and modules[0]["path"] == ""
    if not known or rest not in ([], ["Normalize"], ["Dense"], ["Dense", "Normalize"]):
        raise TeacherError(
            f"{path}/modules.json", f"its modules are {', '.join(kinds) or 'none'}", _REMEDY
        )
    refuse_prompt(path)
    return Vectors(
        pooling=_pooling(path, modules[1]["path"]),
        normalize="Normalize" in rest,
        dense=_dense(path, modules[2]["path"]) if "Dense" in rest else None,
        max_tokens=_longest(path, tokenizer),
    )


def _pooling(path: str, folder: str) -> Pooling:
    where, facts = _settings(path, f"{folder}/config.json")
    named = facts.get("pooling_mode")
    if named is None:
        modes = [key for key, on in facts.items() if key.startswith("pooling_mode_") and on]
    else:
        modes = [named] if isinstance(named, str) else list(named)
    found = [_MODES.get(mode, mode) for mode in modes] or ["mean"]
    if len(found) > 1 or found[0] not in _MODES.values():
        raise TeacherError(where, f"the pooling is {' and '.join(found)}", _REMEDY)
    return cast("Pooling", found[0])


def _dense(path: str, folder: str) -> Dense:
    where, facts = _settings(path, f"{folder}/config.json")
    name = str(facts.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = _ACTIVATIONS.get(name.rsplit(".", 1)[-1])
    if activation is None:
        raise TeacherError(where, f"the activation of the Dense module is {name}", _REMEDY)
    return Dense(int(facts["out_features"]), bool(facts.get("bias", True)), activation)


def _longest(path: str, tokenizer: PreTrainedTokenizerBase) -> int | None:
    file = _file(path, "sentence_bert_config.json")
    if file is None:
        return None
    facts = read_json(file)
    if facts.get("do_lower_case") and tokenizer.tokenize("A") != tokenizer.tokenize("a"):
        raise TeacherError(
            str(file),
            "do_lower_case is set, but the tokenizer tells capitals from small letters",
            "Give the tokenizer a lower-casing normalizer (do_lower_case in tokenizer_config.json) "
            "and set it to false here.",
        )
    longest = facts.get("max_seq_length")
    return None if longest is None else int(longest)


def refuse_prompt(path: str) -> None:
    """Refuse a model that puts words before every text.

    Raises:
        TeacherError: If it does.
    """
    file = _file(path, "config_sentence_transformers.json")
    prompt = None if file is None else read_json(file).get("default_prompt_name")
    if prompt is not None:
        raise TeacherError(
            str(file),
            f"the prompt {prompt!r} is put before every text, which limbeck does not do",
            "Write it into the texts, and delete default_prompt_name.",
        )


def _settings(path: str, name: str) -> tuple[str, dict[str, Any]]:
    file = _file(path, name)
    if file is None:
        raise TeacherError(
            path, f"modules.json names {name}, which is missing", "Complete the folder."
        )
    return str(file), read_json(file)


def _file(path: str, name: str) -> Path | None:
    """A file of a folder or of a checkpoint on the hub, or None if there is none."""
    if Path(path).is_dir():
        file = Path(path) / name
        return file if file.exists() else None
    from transformers.utils.hub import cached_file

    found = cached_file(
        path,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def dense_weights(path: str) -> Path | None:
    """The weights of a sentence encoder's Dense module, or None if it has none.

    Raises:
        TeacherError: If modules.json names one, but there are no weights of it.
    """
    modules = _file(path, "modules.json")
    kinds = [] if modules is None else read_json(modules)
    folder = next((one["path"] for one in kinds if one["type"].endswith(".Dense")), None)
    if folder is None:
        return None
    file = _file(path, f"{folder}/model.safetensors")
    if file is None:
        raise TeacherError(
            path,
            f"there is no {folder}/model.safetensors, though modules.json names a Dense module",
            "Save the model anew with a sentence-transformers that writes safetensors.",
        )
    return file
