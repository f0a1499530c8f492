"""Keeps the tokens of the train windows as a rank of torchrun, or alone: CONFIG FOLDER [RANK THAT CANNOT WRITE]"""

import errno
import os
import sys
from pathlib import Path

from accelerate import PartialState

from kronos import KronosTokenizer, load_config
from kronos.data import WindowDataset, load_candles, split_candles
from kronos.training.arguments import start_process
from kronos.training.inputs import tokens

config_path, folder, *failing = sys.argv[1:]
rank = int(os.environ.get("RANK", "0"))
config = load_config(config_path)
start_process(config, int(os.environ.get("WORLD_SIZE", "1")))
candles = load_candles(config.data, config.repairs).candles
windows = WindowDataset(candles, split_candles(candles, config.data)["train"].starts, config.data)
tokenizer = KronosTokenizer.from_pretrained(config.model_paths.pretrained_tokenizer).eval()
encode, sizes = tokens.encode_candles, []


def encode_candles(tokenizer, candles):
    if failing == [str(rank)]:
        raise OSError(errno.ENOSPC, "No space left on device")
    sizes.append(len(candles))
    return encode(tokenizer, candles)


tokens.encode_candles = encode_candles
kept = tokens.cache_tokens(windows, tokenizer, Path(folder), 4, "train")
Path(folder, f"rank{rank}").write_text(str(sum(sizes)) if kept else "none")
PartialState().destroy_process_group()
