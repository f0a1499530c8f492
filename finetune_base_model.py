"""Fine-tune the base model only.

python finetune_base_model.py --config configs/demo.yaml [--skip-existing] [section.key=value ...]
torchrun --nproc_per_node=8 finetune_base_model.py --config configs/demo.yaml
"""

from kronos.cli.start import run_script

if __name__ == "__main__":
    run_script("kronos.cli.commands.train:train_base_model")
