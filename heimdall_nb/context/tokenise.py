"""Any tokenizer as a function from a text to its token ids: of a model folder, a hub id, or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heimdall_nb.context.profile import Counts, Tokenise
from heimdall_nb.models.shipped import located


@contextmanager
def tokeniser(model: str) -> Iterator[tuple[Tokenise, Counts | None]]:
    """The tokenizer of `model` as it reads prompts: special tokens as such, nothing put in front.

    The second function counts many texts at once, on all cores; a GGUF file's tokenizer has none.
    A vocabulary without ChatML's tokens gets them, as in training. Raises BadInput where there is no tokenizer.
    """
    if model.endswith(".gguf"):
        from heimdall_nb.models.llamacpp import LlamaCppModel

        reader = LlamaCppModel(Path(model), context=64, options={"vocab_only": True})
        try:
            yield reader.tokens, None
        finally:
            reader.close()
        return
    from tokenizers import AddedToken

    from heimdall_nb.models.chat_tokens import missing
    from heimdall_nb.models.transformers_model import load_tokenizer

    fast = load_tokenizer(located(model) or model)
    fast.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in missing(fast)], special_tokens=True)
    core = fast.backend_tokenizer

    def tokenise(text: str) -> list[int]:
        return core.encode(text, add_special_tokens=False).ids

    yield tokenise, lambda texts: [len(found) for found in core.encode_batch_fast(texts, add_special_tokens=False)]
