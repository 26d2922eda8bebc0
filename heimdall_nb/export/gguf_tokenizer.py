"""A tokenizer as GGUF stores it: byte-level BPE (Qwen, Llama 3), or SentencePiece's BPE (TinyLlama, Phi-3)."""

from __future__ import annotations

import json
import re
from typing import Any

import gguf

from heimdall_nb import prompts
from heimdall_nb.errors import BadInput

# llama.cpp splits text by a rule that it knows by name. The rule, and whether a piece that is a token as a whole is
# taken as it is without merging (`ignore_merges`), decide which name is right.
_RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN, _LLAMA3 = _RULE.format(digits=r"\p{N}"), _RULE.format(digits=r"\p{N}{1,3}")
PRE = {(_QWEN, False): "qwen2", (_LLAMA3, True): "llama-bpe", (_LLAMA3, False): "dbrx"}

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "▁"  # the space in SentencePiece's alphabet
# llama.cpp lets special tokens swallow the white space behind them when the model's name says Phi-3, all but these.
_PHI3 = ("phi-3", "phi3")
_NOT_STRIPPING = ("<unk>", "<s>", "<|endoftext|>")


def backend(tokenizer: Any) -> dict[str, Any]:
    """What a transformers tokenizer really does, as tokenizer.json says it.

    transformers rebuilds some tokenizers from their class when it loads them, so that the file may say otherwise.
    """
    return json.loads(tokenizer.backend_tokenizer.to_str())


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, vocabulary: int, where: str) -> None:
    """Write the tokens, how text is split into them, the special tokens, and the chat template.

    `vocabulary` is the number of the model's embeddings, `where` the path for messages. Raises BadInput for a tokenizer
    that llama.cpp does not have, or one without ChatML's tokens.
    """
    data = backend(tokenizer)
    model = data["model"]
    if model["type"] != "BPE":
        raise BadInput(f"is a {model['type']} tokenizer", where, "Use a model with a BPE tokenizer.")
    ids, types = _tokens(data)
    for needed in (prompts.TURN_START, prompts.TURN_END):
        if needed not in ids:
            raise BadInput(f"lacks the token {needed}", where, "Add ChatML's tokens before training.")
    if max(ids.values()) >= vocabulary:
        raise BadInput(f"has more tokens than the model's {vocabulary} embeddings", where, "Export both together.")
    names = {number: text for text, number in ids.items()}
    tokens = [names.get(i, f"[PAD{i}]") for i in range(vocabulary)]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    if model["byte_fallback"]:
        _add_sentencepiece(writer, data, tokens, pairs, where)
    else:
        _add_byte_level(writer, data, pairs, where)
    writer.add_token_list(tokens)
    writer.add_token_types([types.get(token, gguf.TokenType.UNUSED) for token in tokens])
    _add_special(writer, tokenizer, ids)
    writer.add_chat_template(prompts.chat_template(generation_markers=False))


def prefixed_once(tokenizer: Any) -> bool:
    """Whether a text that begins with a word is read with a space before it, and no other part of a text is.

    GGUF has no word for that. The file of such a tokenizer never puts the space, so that only texts which begin with a
    special token, as every prompt does, are read the same.
    """
    return _metaspace(backend(tokenizer)) == "first"


def display_name(name: str, tokenizer: Any, where: str) -> str:
    """The name for the file's metadata, which decides how llama.cpp reads the white space behind special tokens.

    Raises BadInput when no name would make it read the text as this tokenizer does.
    """
    added = [t for t in backend(tokenizer)["added_tokens"] if t["content"] not in _NOT_STRIPPING]
    strips = {t["rstrip"] for t in added}
    called = any(mark in name.lower() for mark in _PHI3)
    if len(strips) > 1:
        what = "has special tokens that swallow the space behind them beside others that do not"
        keep = next(t["content"] for t in added if not t["rstrip"])
        raise BadInput(what, where, f"llama.cpp knows all or none: add {keep} to the tokenizer with rstrip=True.")
    if strips == {True}:
        return name if called else f"{name} (Phi-3)"
    if called:
        what = f"would be read as Phi-3 by llama.cpp because of the name {name!r}, which it is not"
        raise BadInput(what, where, "Give the file another name, without phi-3.")
    return name


def _tokens(data: dict[str, Any]) -> tuple[dict[str, int], dict[str, gguf.TokenType]]:
    """Every token's id and kind."""
    ids = dict(data["model"]["vocab"])
    types = dict.fromkeys(ids, gguf.TokenType.NORMAL)
    if data["model"]["byte_fallback"]:
        types |= {text: gguf.TokenType.BYTE for text in ids if _BYTE.fullmatch(text)}
    for token in data["added_tokens"]:
        ids[token["content"]] = token["id"]
        types[token["content"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    return ids, types


def _add_byte_level(writer: gguf.GGUFWriter, data: dict[str, Any], pairs: list[list[str]], where: str) -> None:
    rules = [step["pattern"].get("Regex") for step in _steps(data["pre_tokenizer"]) if step["type"] == "Split"]
    found = (rules[0] if len(rules) == 1 else None, data["model"]["ignore_merges"])
    if found not in PRE:
        what = "splits text by a rule for which llama.cpp has no name here"
        raise BadInput(what, where, f"Known are the rules of {', '.join(PRE.values())}.")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE[found])
    writer.add_token_merges([" ".join(pair) for pair in pairs])


def _add_sentencepiece(
    writer: gguf.GGUFWriter, data: dict[str, Any], tokens: list[str], pairs: list[list[str]], where: str
) -> None:
    """SentencePiece joins the pair whose union has the best score; tokenizer.json lists the unions best first."""
    prepends = any(s["type"] == "Prepend" and s["prepend"] == _SPACE for s in _steps(data["normalizer"]))
    scheme = _metaspace(data)
    if not prepends and scheme not in ("first", "never"):
        what = "puts spaces before text in a way that llama.cpp does not know"
        raise BadInput(what, where, 'Set "legacy": false in tokenizer_config.json.')
    scores: dict[str, float] = {}
    for rank, (left, right) in enumerate(pairs):
        scores.setdefault(left + right, -float(rank))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_scores([scores.get(token, -float(len(pairs))) for token in tokens])
    writer.add_add_space_prefix(prepends)


def _add_special(writer: gguf.GGUFWriter, tokenizer: Any, ids: dict[str, int]) -> None:
    """The ids of special tokens. A prompt begins as the chat template says; no token is put before it."""
    writer.add_eos_token_id(ids[prompts.TURN_END])
    spare = tokenizer.pad_token or tokenizer.eos_token or prompts.TURN_END
    writer.add_pad_token_id(ids.get(prompts.END_OF_TEXT, ids[spare]))
    if tokenizer.bos_token:
        writer.add_bos_token_id(ids[tokenizer.bos_token])
    if tokenizer.unk_token:
        writer.add_unk_token_id(ids[tokenizer.unk_token])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _metaspace(data: dict[str, Any]) -> str:
    """Where the tokenizer's Metaspace step puts a space before text: first, always, never; empty without the step."""
    return next((s["prepend_scheme"] for s in _steps(data["pre_tokenizer"]) if s["type"] == "Metaspace"), "")


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a normalizer or a pre-tokenizer, be it one or a sequence."""
    if part is None:
        return []
    return part.get("normalizers") or part.get("pretokenizers") or [part]
