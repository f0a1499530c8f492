"""Where else the published models can be fetched. None of these copies is official."""

from kronos.names import Message

MIRROR = "https://hf-mirror.com"
PUBLISHER = "NeoQuasar"
AT_MODELSCOPE = {"Kronos-small", "Kronos-base", "Kronos-Tokenizer-base"}  # copies under the name AI-ModelScope


def name_at_modelscope(repository: str) -> Message:
    """Return how to fetch a published model's files without the hub, to end a sentence; empty for other models."""
    publisher, _, name = repository.partition("/")
    if publisher != PUBLISHER or name not in AT_MODELSCOPE:
        return Message("")
    command = f"modelscope download --model AI-ModelScope/{name} --local_dir models/{name}"
    return Message("; an unofficial copy is at ModelScope (pip install modelscope; {command})", command=command)
