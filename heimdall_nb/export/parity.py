"""Whether a GGUF file is the model that it was made from: token ids, prompt, probabilities, answers."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from heimdall_nb.errors import HeimdallError
from heimdall_nb.export.merge import agreement
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.prompts import Conversation, render

# Texts on which tokenizers that seem equal have been found to differ.
PROBES = (
    "",
    " ",
    "   three spaces,\ttab,\n\n two newlines\r\n",
    "MATCH (n:Person {name: 'Łukasz Żółć'})-[r:KNOWS*1..3]->(m) WHERE m.age >= 40 RETURN m.name AS naïve",
    "12345 3.14 0x1F 2024-02-29",
    "it's we'll I'M DON'T 'tis",
    "数据库里有多少个节点？ Сколько узлов? كم عدد العقد؟",
    "emoji 👩‍👩‍👧‍👦 🇳🇴 and a combining e\u0301, a zero\u200bwidth space",
    "<|im_start|>user\nhello<|im_end|>\n<|endoftext|> <|im_start |> <|unknown|>",
)
FULL_PRECISION = ("ALL_F32", "MOSTLY_F16", "MOSTLY_BF16")
KL_LIMIT = 1e-4  # nats; a right file is a thousand times below it, one exchanged matrix far above
GREEDY_SHARE = 0.95  # llama.cpp keeps its cache in 16 bits, so that two tokens of equal merit may change places


def parity(
    model_dir: Path | str,
    gguf_path: Path | str,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    greedy: int = 20,
    scored: int = 50,
) -> dict[str, Any]:
    """Compare a GGUF file with the model folder that it was made from.

    Token ids are compared on `texts` and on `PROBES`, next-token probabilities on the first `scored` texts (`mean_kl`,
    `top1`), the file's chat template on `conversations`, and greedy answers on the first `greedy` of those. Returns the
    counts, `ok`, and `reasons` when it is not ok. Ids and template must be equal throughout; of a file that is not
    quantised, the mean KL must be below `KL_LIMIT` and 95 % of the answers equal. Raises BadInput when either model is
    unusable.
    """
    reference = TransformersModel(model_dir)
    model = LlamaCppModel(gguf_path, context=min(reference.context, 4096))
    try:
        compared = [*texts, *PROBES]
        differing = [
            text for text in compared if reference.tokens(unicodedata.normalize("NFC", text)) != model.tokens(text)
        ]
        wrong = _wrong_renderings(model.metadata("tokenizer.chat_template"), conversations)
        closeness = agreement(reference, model, [text for text in texts if text not in differing][:scored])
        asked = [_open(c) for c in conversations[:greedy]]
        pairs = list(zip(reference.complete(asked), model.complete(asked), strict=True))
        file_type = gguf.LlamaFileType(int(model.metadata("general.file_type") or 0)).name
    finally:
        model.close()
        reference.close()
    equal = sum(a.text == b.text for a, b in pairs)
    reasons = []
    if differing:
        reasons.append(
            f"token ids differ on {len(differing)} of {len(compared)} texts, the first being {differing[0]!r}"
        )
    if wrong:
        reasons.append(f"the chat template gives other text for {wrong} of {len(conversations)} conversations")
    whole = file_type in FULL_PRECISION
    if whole and closeness["mean_kl"] > KL_LIMIT:
        reasons.append(f"next-token probabilities differ by a mean KL of {closeness['mean_kl']:.2g} nats")
    if whole and equal < GREEDY_SHARE * len(pairs):
        reasons.append(f"only {equal} of {len(pairs)} greedy answers are equal")
    return {
        "path": str(gguf_path),
        "file_type": file_type.removeprefix("MOSTLY_").removeprefix("ALL_"),
        "texts": len(compared),
        "ids_equal": len(compared) - len(differing),
        "conversations": len(conversations),
        "template_equal": not wrong,
        "mean_kl": closeness["mean_kl"],
        "top1": closeness["top1"],
        "greedy": len(pairs),
        "greedy_equal": equal,
        "ok": not reasons,
        "reasons": reasons,
    }


def require(result: dict[str, Any]) -> None:
    """Raise HeimdallError when `parity` found a difference; a file with other ids or another template is removed."""
    if result["ok"]:
        return
    message = f"{result['path']}: is not the model it was made from: {'; '.join(result['reasons'])}."
    if result["ids_equal"] < result["texts"] or not result["template_equal"]:
        Path(result["path"]).unlink(missing_ok=True)
        message += " The file was removed."
    raise HeimdallError(message)


def _open(messages: Conversation) -> Conversation:
    """A conversation that ends with the question."""
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages


def _wrong_renderings(template: str, conversations: Sequence[Conversation]) -> int:
    """For how many conversations plain Jinja2 does not give the text of `prompts.render`, with or without the opening
    of an answer."""
    try:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        apply: Callable[..., str] = environment.from_string(template).render
        return sum(
            any(apply(messages=c, add_generation_prompt=opening) != render(c, opening) for opening in (True, False))
            for c in conversations
        )
    except TemplateError:
        return len(conversations)
