"""Fine-tune the tokenizer only.

python finetune_tokenizer.py --config configs/demo.yaml [--skip-existing] [section.key=value ...]
torchrun --nproc_per_node=8 finetune_tokenizer.py --config configs/demo.yaml
"""

from kronos.cli.session import run_command
from kronos.cli.train import train_tokenizer

if __name__ == "__main__":
    run_command(train_tokenizer)
