"""The shapes of models: from a folder's config.json, or for hub models from `data/models.yaml`, without network."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.models.shipped import located
from heimdall_nb.run import DATA

# Our names of sizes, and those of transformers' configurations.
FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
    "context": "max_position_embeddings",
    "rms_eps": "rms_norm_eps",
}


@lru_cache(maxsize=1)
def shapes() -> dict[str, dict[str, Any]]:
    """The shapes of `data/models.yaml`: for each hub id its architecture, sizes, licence and access."""
    document = yaml.safe_load((DATA / "models.yaml").read_text(encoding="utf-8"))
    return {name: shape for name, shape in document.items() if name != "settings"}


def configuration(base: str) -> Any:
    """The transformers configuration of `base`: a shipped model, a model folder, or a hub id.

    Only for a hub id that `data/models.yaml` does not have is the hub asked. Raises BadInput for a folder without a
    configuration, and for a hub id that neither has.
    """
    from transformers import AutoConfig

    folder = located(str(base))
    if folder is not None:
        try:
            return AutoConfig.from_pretrained(folder)
        except (OSError, ValueError, KeyError):
            remedy = "Give a folder with config.json, a model of data/models, or a hub id."
            raise BadInput("is not a model folder (no config.json that loads)", str(folder), remedy) from None
    shape = shapes().get(str(base))
    if shape is None:
        return _from_hub(str(base))
    settings = {theirs: shape[ours] for ours, theirs in FIELDS.items()} | shape.get("extra", {})
    settings["rope_parameters"] = {"rope_type": "default", "rope_theta": float(shape["rope_theta"])}
    settings["rope_parameters"] |= settings.pop("rope_scaling", {})
    return AutoConfig.for_model(shape["architecture"], **settings)


def _from_hub(base: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError, KeyError):
        known = ", ".join(shapes())
        what = "cannot be had from the model hub, and has no shape in data/models.yaml"
        raise BadInput(what, base, f"Check name and network, or add its sizes there; it has {known}.") from None


def empty_model(base: str) -> Any:
    """The model of `base` with its layers and no weights: on torch's meta device, in no time and no memory."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(configuration(base))
