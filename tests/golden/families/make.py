"""Makes the fixtures of this folder: tiny models by Hugging Face transformers, and their logits.

    pip install torch transformers==5.23.0 && python make.py

The weights are a rule (see README.md), so that a test in another language makes the same ones.
"""

import json
import math
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = dict(
    vocab_size=24, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
CASES = {
    "llama_biases": dict(model_type="llama", attention_bias=True, tie_word_embeddings=True),
    "mistral": dict(model_type="mistral", sliding_window=None, head_dim=6),
    "qwen2": dict(model_type="qwen2", tie_word_embeddings=True),
    "qwen2_wide": dict(model_type="qwen2", head_dim=6),
    "qwen3": dict(model_type="qwen3", head_dim=8),
    "qwen3_biases": dict(model_type="qwen3", head_dim=6, attention_bias=True),
}
IDS = [1, 7, 23, 4, 4, 15, 9, 0, 2, 11]


def weight(n, name, shape):
    base, spread = (1.0, 0.3) if "norm" in name else (0.0, 1.0 if "embed" in name else 0.3)
    count = math.prod(shape)
    numbers = [base + spread * math.sin(0.37 * (i + 1) ** 2 + n) for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).to(torch.float32).reshape(shape)


for case, fields in CASES.items():
    config = AutoConfig.for_model(**SIZES, **fields)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    tied = config.tie_word_embeddings
    tensors = dict(sorted((k, v) for k, v in model.state_dict().items() if k != "lm_head.weight" or not tied))
    with torch.no_grad():
        for n, (name, tensor) in enumerate(tensors.items()):
            tensor.copy_(weight(n, name, tensor.shape))
        logits = model(torch.tensor([IDS])).logits[0]
    fixture = {
        "config": json.loads(config.to_json_string(use_diff=False)),
        "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "ids": IDS,
        "logits": [[round(x, 6) for x in row] for row in logits.tolist()],
    }
    # One line a field, and one a row of logits.
    rows = ",\n    ".join(json.dumps(row) for row in fixture.pop("logits"))
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in fixture.items()]
    text = "{\n" + ",\n".join(lines) + f',\n  "logits": [\n    {rows}\n  ]\n}}\n'
    Path(__file__).with_name(f"{case}.json").write_text(text)
