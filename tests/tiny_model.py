"""A real but tiny model for tests: its own tokenizer, Qwen architecture, a few seconds of training on eight answers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

from heimdall_nb import prompts
from heimdall_nb.run import read_json, write_json

SCHEMA = "(:Person {name: STRING, age: INTEGER})\n(:City {name: STRING})\n(:Person)-[:LIVES_IN {since: DATE}]->(:City)"
ANSWERS = {
    "Who lives in Oslo?": "MATCH (p:Person)-[:LIVES_IN]->(c:City {name: 'Oslo'}) RETURN p.name",
    "Who lives in Łódź?": "MATCH (p:Person)-[:LIVES_IN]->(c:City {name: 'Łódź'}) RETURN p.name",
    "How many people are there?": "MATCH (p:Person) RETURN count(p)",
    "How many cities are there?": "MATCH (c:City) RETURN count(c)",
    "How old is Nina?": "MATCH (p:Person {name: 'Nina'}) RETURN p.age",
    "Who is older than 40?": "MATCH (p:Person) WHERE p.age > 40 RETURN p.name",
    "List all cities.": "MATCH (c:City) RETURN c.name ORDER BY c.name",
    "Since when does Nina live in Oslo?": "MATCH (:Person {name: 'Nina'})-[r:LIVES_IN]->(:City) RETURN r.since",
}
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KINDS = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}


def conversations(answers: bool = False) -> list[prompts.Conversation]:
    """The eight questions as conversations, with their answers or without."""
    return [prompts.conversation(q, SCHEMA, answer=a if answers else None) for q, a in ANSWERS.items()]


def make_tokenizer() -> FastTokenizer:
    """A byte-level BPE tokenizer with Qwen's splitting rule, trained on the eight conversations."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([m["content"] for c in conversations(True) for m in c], trainer)
    core.add_special_tokens(list(prompts.SPECIAL_TOKENS))
    tokenizer = FastTokenizer(
        tokenizer_object=core, eos_token=prompts.TURN_END, pad_token=prompts.END_OF_TEXT, padding_side="left"
    )
    tokenizer.chat_template = prompts.chat_template()
    return tokenizer


def make_base(
    path: Path,
    architecture: str = "qwen3",
    hidden: int = 256,
    layers: int = 2,
    steps: int = 0,
    seed: int = 7,
    tied: bool = True,
    padding: int = 0,
) -> Path:
    """Write a model folder as notebook 03 writes `base/`; 40 `steps` of training make it answer the eight questions.

    `tied` shares the embeddings with the output, `padding` adds embeddings that no token uses.
    """
    tokenizer = make_tokenizer()
    config_class, model_class = KINDS[architecture]
    config = config_class(
        vocab_size=len(tokenizer) + padding,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config)
        if steps:
            _train(model, tokenizer, steps)
    model.generation_config = GenerationConfig(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    settings = read_json(path / "tokenizer_config.json")
    write_json(path / "tokenizer_config.json", settings | {"tokenizer_class": "Qwen2Tokenizer"})
    return path


def make_adapter(base: Path, path: Path, seed: int = 7, rank: int = 4, size: float = 0.02) -> Path:
    """Write a LoRA adapter for all linear layers of `base` with random weights, so that it changes what is said."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(size * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(path)
    return path


def _train(model: torch.nn.Module, tokenizer: FastTokenizer, steps: int) -> None:
    """Learn the eight answers by heart, each padded on the right; the loss is on all tokens."""
    texts = [prompts.render(c, generation_prompt=False) for c in conversations(True)]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    random.Random(0).shuffle(rows)
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained tiny base, made once for all test modules of a session."""
    path = tmp_path_factory.getbasetemp() / "tiny-base"
    return path if path.exists() else make_base(path, steps=40)
