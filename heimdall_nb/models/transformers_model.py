"""A model in the Hugging Face layout, run by transformers: from a folder or the hub, with or without an adapter."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import GatedRepoError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig
from transformers.utils import logging as transformers_logging

from heimdall_nb.errors import BadInput
from heimdall_nb.hardware import fast_bf16
from heimdall_nb.models.protocol import Completion
from heimdall_nb.models.stopping import cut, outcome
from heimdall_nb.progress import plain, track
from heimdall_nb.prompts import STOPS, Conversation, render
from heimdall_nb.run import read_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def device() -> str:
    """Where models run: cuda, mps (Apple), or cpu; HEIMDALL_DEVICE overrules it."""
    if os.environ.get("HEIMDALL_DEVICE"):
        return os.environ["HEIMDALL_DEVICE"]
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def default_dtype(where: str) -> torch.dtype:
    """float32 on a CPU, where it is the exact reference; half precision on a GPU, where memory is scarce."""
    if where == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if where == "mps" else torch.float32


def load_tokenizer(path: Path | str) -> Any:
    """The tokenizer of a model. Raises BadInput when there is none."""
    tokenizer = _loaded(path, lambda: AutoTokenizer.from_pretrained(str(path)))
    folder = Path(path)
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        # transformers would go on with an empty vocabulary
        raise BadInput(f"has no tokenizer (none of {', '.join(TOKENIZER_FILES)})", str(path), "Copy the model again.")
    return tokenizer


def load_weights(path: Path | str, dtype: torch.dtype | None = None, where: str = "") -> Any:
    """The causal language model at `path`, for inference. Raises BadInput when it is missing or incomplete."""
    where = where or device()
    return _model(path, dtype=dtype or default_dtype(where), device_map={"": where})


def load_4bit(path: Path | str, where: str = "", dtype: torch.dtype | None = None, double: bool = True) -> Any:
    """The model with its linear layers in 4-bit NF4, as QLoRA trains it. Raises BadInput like `load_weights`.

    `dtype` is that of the arithmetic and of the other layers; `double` stores the scales in 8 bits.
    """
    # Its one warning advises a package that would fetch code from the hub.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes

    dtype = dtype or (torch.bfloat16 if fast_bf16() else torch.float32)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=dtype,
    )
    model = _model(path, dtype=dtype, device_map={"": where or device()}, quantization_config=settings)
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            # On CPUs with AVX512-BF16 the first inference would repack the weights, and `dequantize` then
            # returns noise without a word.
            module.support_avx512bf16_for_cpu = False
    return model


def double_scales(adapter: Path | str | None) -> bool:
    """Whether an adapter's 4-bit base had its scales in 8 bits, as its training.json tells; True where none does."""
    told = Path(adapter) / "training.json" if adapter else None
    return read_json(told)["settings"]["double_quantisation"] if told and told.is_file() else True


def add_adapter(model: Any, adapter: Path | str) -> Any:
    """Put a PEFT adapter on a model. Raises BadInput when it is missing or does not fit the model."""
    from peft import PeftModel

    folder = Path(adapter)
    if (folder.is_dir() or _looks_local(adapter)) and not (folder / "adapter_config.json").is_file():
        raise BadInput("is not an adapter (no adapter_config.json)", str(adapter), "Run notebook 03 to train one.")
    try:
        with warnings.catch_warnings():  # PEFT asks transformers in a way that transformers calls deprecated
            warnings.simplefilter("ignore", FutureWarning)
            return PeftModel.from_pretrained(model, str(adapter)).eval()
    except MemoryError:
        raise
    except Exception as problem:
        what = f"does not load as an adapter of this base model ({_first_line(problem)})"
        raise BadInput(what, str(adapter), "Give the base model that it was trained on.") from None


class TransformersModel:
    """A language model run by transformers, in batches. Two instances of one model give the same answers.

    `path` is a folder or a hub id, `adapter` a PEFT adapter for it. `four_bit` runs the base as QLoRA trains it.
    Raises BadInput when either is missing or is not what it should be.
    """

    def __init__(
        self,
        path: Path | str,
        adapter: Path | str | None = None,
        name: str | None = None,
        batch_size: int = 16,
        dtype: torch.dtype | None = None,
        four_bit: bool = False,
    ) -> None:
        tokenizer = load_tokenizer(path)
        model = load_4bit(path, double=double_scales(adapter)) if four_bit else load_weights(path, dtype)
        model = add_adapter(model, adapter) if adapter else model
        name = name or Path(path).name + (f"+{Path(adapter).name}" if adapter else "")
        self._take(model, tokenizer, name, batch_size)

    @classmethod
    def around(cls, model: Any, tokenizer: Any, name: str, batch_size: int = 16) -> TransformersModel:
        """One with a model that is loaded already, such as one in training, which goes on with its weights."""
        made = cls.__new__(cls)
        made._take(model, tokenizer, name, batch_size)
        return made

    def _take(self, model: Any, tokenizer: Any, name: str, batch_size: int) -> None:
        self.model, self.tokenizer, self.name, self.batch_size = model, tokenizer, name, batch_size
        ends = {self._single_id(stop) for stop in STOPS} | {self.tokenizer.eos_token_id}
        self._stop_ids = sorted(ends - {None})
        self._pad_id = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self._stop_ids[0]
        # Hub models bring sampling settings and penalties of their own; an answer depends on our arguments alone.
        model.generation_config = GenerationConfig(eos_token_id=self._stop_ids, pad_token_id=self._pad_id)
        self.context: int = model.config.max_position_embeddings

    def tokens(self, text: str) -> list[int]:
        """The token ids of a rendered prompt; `<|im_start|>` and its like are single tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def log_probabilities(self, text: str) -> np.ndarray:
        """Log probability of every vocabulary entry after each token of `text`: float32 (tokens, vocabulary)."""
        ids = torch.tensor([self.tokens(text)[: self.context]], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids).logits[0].float()
        return torch.log_softmax(logits, dim=-1).cpu().numpy()

    def complete(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 192,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = STOPS,
        grammar: str | None = None,
    ) -> list[Completion]:
        """Answer each conversation; see `LanguageModel.complete`. Sampling repeats for the same list and seed."""
        if grammar is not None:
            raise BadInput("has no grammars", self.name, "Use the GGUF file with LlamaCppModel.")
        prompts = [self.tokens(render(conversation)) for conversation in conversations]
        done: dict[int, Completion] = {
            i: Completion("", len(p), 0, 0.0, "truncated") for i, p in enumerate(prompts) if len(p) >= self.context
        }
        # Longest first: rows of like length waste little on padding, and memory trouble shows at once.
        order = sorted((i for i in range(len(prompts)) if i not in done), key=lambda i: (-len(prompts[i]), i))
        batches = [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for batch in track(batches, f"{self.name}: batches") if len(batches) > 1 else batches:
                answers = self._batch([prompts[i] for i in batch], max_new_tokens, temperature, stop)
                done.update(zip(batch, answers, strict=True))
        return [done[i] for i in range(len(prompts))]

    def close(self) -> None:
        """Free the memory."""
        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _single_id(self, token: str) -> int | None:
        ids = self.tokens(token)
        return ids[0] if len(ids) == 1 else None

    def _batch(
        self, prompts: list[list[int]], max_new_tokens: int, temperature: float, stop: Sequence[str]
    ) -> list[Completion]:
        """Answer prompts that are padded on the left to one length."""
        started = time.perf_counter()
        width = max(map(len, prompts))
        rooms = [min(max_new_tokens, self.context - len(prompt)) for prompt in prompts]
        ids = torch.tensor([[self._pad_id] * (width - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        settings: dict[str, Any] = {"max_new_tokens": max(rooms), "do_sample": temperature > 0}
        if temperature > 0:
            settings |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
        texts = [text for text in stop if self._single_id(text) not in self._stop_ids]
        if texts:
            settings |= {"stop_strings": texts, "tokenizer": self.tokenizer}
        with torch.inference_mode():
            output = self.model.generate(input_ids=ids, attention_mask=mask, **settings)
        seconds = (time.perf_counter() - started) / len(prompts)
        rows = zip(prompts, rooms, output[:, width:].tolist(), strict=True)
        return [self._completion(len(prompt), new[:room], seconds, stop) for prompt, room, new in rows]

    def _completion(self, prompt_tokens: int, new: list[int], seconds: float, stop: Sequence[str]) -> Completion:
        ends = [at for at, token in enumerate(new) if token in self._stop_ids]
        used = new[: ends[0] + 1] if ends else new
        text, stopped = cut(self.tokenizer.decode(used, skip_special_tokens=True), stop)
        return Completion(text, prompt_tokens, len(used), seconds, outcome(text, bool(ends) or stopped))


def _model(path: Path | str, **settings: Any) -> Any:
    if plain():
        transformers_logging.disable_progress_bar()
    model, report = _loaded(
        path, lambda: AutoModelForCausalLM.from_pretrained(str(path), output_loading_info=True, **settings)
    )
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would go on with random numbers in their place
        what = f"lacks {len(missing)} weight tensors, the first being {missing[0]}"
        raise BadInput(what, str(path), "Copy or train the model again.")
    return model.eval()


def _loaded(path: Path | str, load: Any) -> Any:
    """Call `load` and turn whatever goes wrong into one sentence."""
    folder = Path(path)
    local = folder.exists() or _looks_local(path)
    if local and not folder.is_dir():
        what = "is a file, not a model folder" if folder.exists() else "is missing"
        raise BadInput(what, str(path), "Give a folder with config.json, or a hub id such as Qwen/Qwen2.5-0.5B.")
    if local and not (folder / "config.json").is_file():
        raise BadInput("is not a model folder (no config.json)", str(path), "Run the stage that writes it again.")
    try:
        return load()
    except MemoryError:
        raise
    except Exception as problem:
        if local:
            what = f"is not a model that transformers can load ({_first_line(problem)})"
            raise BadInput(what, str(path), "Run the stage that writes it again.") from None
        if isinstance(problem, GatedRepoError) or isinstance(problem.__cause__, GatedRepoError):
            remedy = "Accept it on the model's page, and set HF_TOKEN to a token of your account."
            raise BadInput("is given only to who has accepted its licence", str(path), remedy) from None
        what = f"cannot be had from the model hub ({_first_line(problem)})"
        raise BadInput(what, str(path), "Check the name, the network and HF_TOKEN, or give a model folder.") from None


def _looks_local(path: Path | str) -> bool:
    """True for what cannot be a hub id (`name` or `owner/name`)."""
    return isinstance(path, Path) or str(path).count("/") > 1 or str(path).startswith((".", "/", "~"))


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:200].rstrip(".:")
