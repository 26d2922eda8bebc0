"""Any model of the course by its path: a GGUF file, a Hugging Face folder, or an adapter's folder with its base."""

from __future__ import annotations

from pathlib import Path

from heimdall_nb.errors import BadInput
from heimdall_nb.models.protocol import LanguageModel
from heimdall_nb.models.shipped import located
from heimdall_nb.run import read_json


def open_model(path: Path | str, context: int = 2048) -> LanguageModel:
    """The model at `path`; an adapter runs on its base in the numbers that it was trained on (4 bits for QLoRA).

    `context` is the window of a GGUF file in tokens. Raises BadInput where there is no model.
    """
    path = Path(path)
    if path.is_dir():
        from heimdall_nb.models.transformers_model import TransformersModel

        if not (path / "adapter_config.json").is_file():
            return TransformersModel(path)
        return TransformersModel(base_of(path), path, four_bit=in_4bit(path))
    if not path.exists():
        remedy = "Give a GGUF file, the folder of a Hugging Face model, or that of an adapter."
        raise BadInput("does not exist", str(path), remedy)
    from heimdall_nb.models.llamacpp import LlamaCppModel

    return LlamaCppModel(path, context=context)


def base_of(adapter: Path | str) -> Path | str:
    """The base model of an adapter: the folder `base` beside it, else the folder or hub id of its configuration."""
    beside = Path(adapter).parent / "base"
    if beside.is_dir():
        return beside
    named = read_json(Path(adapter) / "adapter_config.json")["base_model_name_or_path"]
    return located(str(named)) or named


def in_4bit(adapter: Path) -> bool:
    """Whether an adapter's own training.json says that its base was in 4 bits; False for one from elsewhere."""
    told = adapter / "training.json"
    return bool(read_json(told).get("settings", {}).get("load_in_4bit")) if told.is_file() else False
