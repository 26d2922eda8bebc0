"""The gate: a GGUF file passes when it is the model that it was made from, and is removed when it is not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
import torch
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from heimdall_nb.errors import HeimdallError
from heimdall_nb.export import gguf_file, quantise
from heimdall_nb.export.agreement import agreement
from heimdall_nb.export.gate_texts import COUNT, gate_texts
from heimdall_nb.export.gguf_file import replacing, write_gguf
from heimdall_nb.export.gguf_tokenizer import backend, prefixed_once
from heimdall_nb.export.imatrix import Importance
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.protocol import Completion
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.prompts import TURN_END, TURN_START, Conversation, render

WHOLE = ("F32", "F16", "BF16")  # types in which the weights are what they were, up to rounding
KL_LIMIT = 1e-4  # nats; a right file is a thousand times below it, one exchanged matrix far above
TOP1_LIMIT = 0.97  # share of places with the same likeliest token; a model that has learnt something is above 0.99
QUANTISED_TOP1 = 0.3  # the same for a quantised file, which may differ, but not be another model
TIE = 0.05  # nats; llama.cpp keeps its cache in 16 bits, so that two tokens this close may change places
CONTEXT = 4096  # tokens at most of a text
ANSWER = 96  # tokens at most of an answer

Record = dict[str, Any]


def export(
    model_dir: Path | str,
    output: Path | str,
    kind: str,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    source: Path | str | None = None,
    greedy: int = 20,
    scored: int = 50,
    weighted: Importance | None = None,
    **metadata: str,
) -> Record:
    """Write the model in `model_dir` as a GGUF file of `kind`, which appears at `output` only when it passes the gate.

    F32, F16 and BF16 are written from the folder with `metadata` (see `write_gguf`), other kinds are quantised from
    `source`, the F16 file, with the importance matrix `weighted` where one is given. Returns what `quantise.describe`
    and `gate` say about the file. Raises HeimdallError with the reason when it fails, BadInput for what cannot be
    exported at all; then there is no new file.
    """
    output = Path(output)
    with replacing(output) as temporary:
        if kind in gguf_file.KINDS or source is None:
            described = quantise.describe(write_gguf(model_dir, temporary, kind, **metadata), kind)
        else:
            described = quantise.quantise(source, temporary, kind, weighted)
        record = gate(model_dir, temporary, texts, conversations, greedy, scored, called=output)
    return described | record


def gate(
    model_dir: Path | str,
    gguf_path: Path | str,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    greedy: int = 20,
    scored: int = 50,
    called: Path | str | None = None,
) -> Record:
    """`examine` a file: returns the record when it passes, else removes the file and raises HeimdallError.

    `called` is the name for messages where the file still has a temporary one.
    """
    record = examine(model_dir, gguf_path, texts, conversations, greedy, scored) | {"path": str(called or gguf_path)}
    if not record["ok"]:
        Path(gguf_path).unlink(missing_ok=True)
        reasons = "; ".join(record["reasons"])
        raise HeimdallError(f"{record['path']}: is not the model it was made from: {reasons}. The file was removed.")
    return record


def examine(
    model_dir: Path | str,
    gguf_path: Path | str,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    greedy: int = 20,
    scored: int = 50,
) -> Record:
    """Compare a GGUF file with the model folder that it was made from.

    Token ids are compared on `texts` and on texts that are hard to split, 500 at least; next-token probabilities on the
    first `scored` of `texts` (`mean_kl`, `top1`); the chat template on `conversations`; greedy answers on the first
    `greedy` of those. Returns the counts, `ok`, and `reasons` when it is not ok. Vocabulary, ids and template must be
    equal throughout. A file of F32, F16 or BF16 must also have a mean KL below `KL_LIMIT`, the same likeliest token in
    `TOP1_LIMIT` of all places, and equal answers, which may part only at a `TIE`; a quantised one the same likeliest
    token in `QUANTISED_TOP1`. Raises BadInput when the folder is unusable; an unusable file is a reason.
    """
    reference = TransformersModel(model_dir, dtype=torch.float32)
    try:
        with closing(LlamaCppModel(gguf_path, context=min(reference.context, CONTEXT))) as model:
            return _compare(reference, model, texts, conversations, greedy, scored)
    except HeimdallError as problem:
        return {"path": str(gguf_path), "ok": False, "reasons": [str(problem).rstrip(".")]}
    finally:
        reference.close()


def _compare(
    reference: TransformersModel,
    model: LlamaCppModel,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    greedy: int,
    scored: int,
) -> Record:
    tokens, compared, equal = _reading(reference, model, texts)
    templates = _same_renderings(reference, model.metadata("tokenizer.chat_template"), conversations)
    fitting = [t for t in texts if t in equal and len(reference.tokens(t)) <= model.context][:scored]
    closeness = agreement(reference, model, fitting)
    same, ties = _answers(reference, model, [_open(c) for c in conversations[:greedy]])
    asked = len(conversations[:greedy])
    file_type = gguf.LlamaFileType(int(model.metadata("general.file_type") or 0)).name
    record = {
        "path": str(model.path),
        "file_type": file_type.removeprefix("MOSTLY_").removeprefix("ALL_"),
        "vocabulary_equal": not tokens,
        "texts": len(compared),
        "ids_equal": len(equal),
        "conversations": len(conversations),
        "template_equal": templates == len(conversations),
        "mean_kl": closeness["mean_kl"],
        "top1": closeness["top1"],
        "greedy": asked,
        "greedy_equal": same,
        "greedy_ties": ties,
    }
    reasons = [*tokens]
    if len(equal) < len(compared):
        first = next(text for text in compared if text not in equal)
        reasons.append(f"token ids differ on {len(compared) - len(equal)} of {len(compared)} texts, first on {first!r}")
    if templates < len(conversations):
        wrong = len(conversations) - templates
        reasons.append(f"the chat template gives other text for {wrong} of {len(conversations)} conversations")
    if record["file_type"] in WHOLE:
        reasons += _inexact(record)
    elif record["top1"] < QUANTISED_TOP1:
        reasons.append(f"the likeliest token is another one in {1 - record['top1']:.0%} of all places")
    return record | {"ok": not reasons, "reasons": reasons}


def _inexact(record: Record) -> list[str]:
    """What is too far from the model for a file that is not quantised."""
    reasons = []
    if record["mean_kl"] > KL_LIMIT:
        reasons.append(f"next-token probabilities differ by a mean KL of {record['mean_kl']:.2g} nats")
    if record["top1"] < TOP1_LIMIT:
        reasons.append(f"the likeliest token is another one in {1 - record['top1']:.0%} of all places")
    if record["greedy_equal"] + record["greedy_ties"] < record["greedy"]:
        reasons.append(f"only {record['greedy_equal']} of {record['greedy']} greedy answers are equal")
    return reasons


def _reading(
    reference: TransformersModel, model: LlamaCppModel, texts: Sequence[str]
) -> tuple[list[str], list[str], set[str]]:
    """What is wrong with the vocabulary, the texts that were compared, and those that are read the same."""
    data = backend(reference.tokenizer)
    added = {token["content"]: token["id"] for token in data["added_tokens"]}
    known = data["model"]["vocab"] | added
    stored = gguf.GGUFReader(model.path).fields["tokenizer.ggml.tokens"].contents()
    wrong = [(i, token) for token, i in known.items() if i >= len(stored) or stored[i] != token]
    faults = [f"token {i} is not {token!r} as in the model" for i, token in wrong[:1]]
    end = int(model.metadata("tokenizer.ggml.eos_token_id") or -1)
    if end != known.get(TURN_END):
        faults.append(f"an answer ends with token {end} instead of {TURN_END}")
    lead = TURN_START if prefixed_once(reference.tokenizer) else ""
    compared = list(dict.fromkeys([*texts, *gate_texts(list(added), COUNT)]))
    pairs = ((text, lead + unicodedata.normalize("NFC", text)) for text in compared)
    return faults, compared, {text for text, read in pairs if reference.tokens(read) == model.tokens(read)}


def _same_renderings(reference: TransformersModel, template: str, conversations: Sequence[Conversation]) -> int:
    """For how many conversations plain Jinja2 with the file's template, and the folder's own template where it has one,
    give the text of `prompts.render`, with and without the opening of an answer."""
    own = reference.tokenizer.apply_chat_template if reference.tokenizer.chat_template else None
    try:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        apply: Callable[..., str] = environment.from_string(template).render
        return sum(
            all(
                apply(messages=c, add_generation_prompt=opening) == render(c, opening)
                and (own is None or own(c, tokenize=False, add_generation_prompt=opening) == render(c, opening))
                for opening in (True, False)
            )
            for c in conversations
        )
    except TemplateError:
        return 0


def _answers(reference: TransformersModel, model: LlamaCppModel, asked: Sequence[Conversation]) -> tuple[int, int]:
    """How many greedy answers are equal, and how many part only where two tokens are equally likely."""
    theirs = reference.complete(asked, max_new_tokens=ANSWER)
    ours = model.complete(asked, max_new_tokens=ANSWER)
    triples = list(zip(asked, theirs, ours, strict=True))
    # SentencePiece's decoder drops the space that an answer begins with, llama.cpp gives it.
    differing = [(c, a, b) for c, a, b in triples if a.text.lstrip(" ") != b.text.lstrip(" ")]
    return len(triples) - len(differing), sum(_tie(reference, *triple) for triple in differing)


def _tie(reference: TransformersModel, asked: Conversation, a: Completion, b: Completion) -> bool:
    """Whether the reference holds the first tokens in which two answers differ for equally likely."""
    text = render(asked) + a.text + TURN_END
    left, right = reference.tokens(text), reference.tokens(render(asked) + b.text + TURN_END)
    at = next((i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), 0)
    if not 0 < at < reference.context:
        return False
    likely = reference.log_probabilities(text)[at - 1]
    return bool(abs(likely[left[at]] - likely[right[at]]) <= TIE)


def _open(messages: Conversation) -> Conversation:
    """A conversation that ends with the question."""
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages
