"""Fine-tune the base model only.

python finetune_base_model.py --config configs/demo.yaml [--skip-existing] [section.key=value ...]
torchrun --nproc_per_node=8 finetune_base_model.py --config configs/demo.yaml
"""

from kronos.cli.session import run_command
from kronos.cli.train import train_base_model

if __name__ == "__main__":
    run_command(train_base_model)
