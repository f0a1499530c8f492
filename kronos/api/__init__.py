"""The commands as functions: `check`, `finetune`, `evaluate`, `load_run`."""
