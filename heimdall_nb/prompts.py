"""The only maker of prompts: training, evaluation, baselines, the GGUF file and the deployment all use these bytes.

A conversation is ChatML: the system message holds the task and the schema (the part that stays the same comes
first, so that a prefix cache works), solved examples follow as user and assistant turns, the question comes last.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

Message = dict[str, str]
Conversation = list[Message]

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
STOPS = (TURN_END, END_OF_TEXT)

TASKS = {
    "cypher": "Write one Cypher query for this NornicDB graph.",
    "sql": "Write one MySQL SELECT statement for this database.",
    "text": "Answer a question about NornicDB.",
    "nornicdb": "You are Heimdall, inside a NornicDB server. Answer with one JSON action and nothing else.",
}

# The markers tell TRL which tokens to learn: the answer and its end token. `chat_template(False)` leaves them out,
# because plain Jinja2, and with it other GGUF runtimes, does not know the tag.
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chat_template(generation_markers: bool = True) -> str:
    """The ChatML template as Jinja2, with TRL's markers around the answer or without them."""
    if generation_markers:
        return _TEMPLATE
    return _TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


def conversation(
    question: str,
    schema: str = "",
    task: str = "cypher",
    answer: str | None = None,
    exemplars: Sequence[tuple[str, str]] = (),
) -> Conversation:
    """The messages for one question: system with schema, solved `exemplars` as turns, the question, the answer.

    `task` is a name in TASKS, or the system message of another domain itself, which has a space in it. Text is
    normalised to NFC, since llama.cpp's tokenizer does not do it. Raises KeyError for an unknown name.
    """
    system = (task if " " in task else TASKS[task]) + (f"\n{schema.strip()}" if schema.strip() else "")
    messages = [{"role": "system", "content": system}]
    for asked, answered in exemplars:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    messages.append({"role": "user", "content": question})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return [{"role": m["role"], "content": unicodedata.normalize("NFC", m["content"])} for m in messages]


def runtime_context(actions: Sequence[str], schema: str = "") -> str:
    """What follows task `nornicdb` in the system message, in the server's order: its actions, then the schema."""
    listed = "\n".join(["AVAILABLE ACTIONS:", *(f"- {action}" for action in actions)])
    return f"{listed}\nADDITIONAL CONTEXT:\n{schema.strip()}" if schema.strip() else listed


def render(messages: Conversation, generation_prompt: bool = True) -> str:
    """A conversation as the text that a model reads; the same bytes as the Jinja2 template gives."""
    text = "".join(f"{TURN_START}{m['role']}\n{m['content']}{TURN_END}\n" for m in messages)
    return text + (f"{TURN_START}assistant\n" if generation_prompt else "")
