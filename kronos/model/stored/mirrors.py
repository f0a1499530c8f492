"""Where else the published models can be fetched. None of these copies is official."""

MIRROR = "https://hf-mirror.com"
PUBLISHER = "NeoQuasar"
AT_MODELSCOPE = {"Kronos-small", "Kronos-base", "Kronos-Tokenizer-base"}  # copies under the name AI-ModelScope


def name_at_modelscope(repository: str) -> str:
    """Return how to fetch a published model's files without the hub, to end a sentence; empty for other models."""
    publisher, _, name = repository.partition("/")
    if publisher != PUBLISHER or name not in AT_MODELSCOPE:
        return ""
    command = f"modelscope download --model AI-ModelScope/{name} --local_dir models/{name}"
    return f"; an unofficial copy is at ModelScope (pip install modelscope; {command})"
