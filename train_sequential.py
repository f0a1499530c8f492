"""Fine-tune the tokenizer, then the base model, from one YAML file.

python train_sequential.py --config configs/demo.yaml [--skip-existing] [section.key=value ...]
torchrun --nproc_per_node=8 train_sequential.py --config configs/demo.yaml
"""

from kronos.cli.session import run_command
from kronos.cli.train import train_command

if __name__ == "__main__":
    run_command(train_command)
