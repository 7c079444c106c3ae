"""The peers of `benchmarks/finetune.py`: transformers' Trainer, TRL's SFTTrainer, peft with Trainer.

Run in the environment that `make bench-setup` makes, with a job (JSON): task, model (a folder), data (JSON
lines), steps, warm_up, rows (of a pass), passes (of a step), length, bf16. The last line printed is
{"positions_per_second", "loss", "memory_bytes", "versions"}. Positions: of texts, without padding.
"""

import importlib.metadata
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

Rows = list[dict[str, Any]]


class Clock(TrainerCallback):
    """Counts positions as a collator makes batches, and seconds from one step's end to the next."""

    def __init__(self, collate: Any) -> None:
        self.collate, self.counted = collate, []
        self.ends: list[float] = []

    def __call__(self, rows: Rows) -> Any:
        batch = self.collate(rows)
        mask = batch.get("attention_mask")
        self.counted.append(batch["input_ids"].numel() if mask is None else int(mask.sum()))
        return batch

    def on_step_end(self, *given: Any, **named: Any) -> None:
        self.ends.append(time.perf_counter())

    def speed(self, warm_up: int, passes: int) -> float:
        """Positions a second, by the median step."""
        steps = [sum(self.counted[n : n + passes]) for n in range(0, len(self.counted), passes)]
        seconds = [b - a for a, b in zip(self.ends, self.ends[1:], strict=False)]
        timed = list(zip(steps[1:], seconds, strict=False))[warm_up - 1 :]
        return statistics.median(count / second for count, second in timed)


def arguments(job: dict[str, Any]) -> dict[str, Any]:
    """What all trainers are told alike."""
    return {
        "output_dir": str(Path(job["data"]).parent / "peer-out"),
        "max_steps": job["steps"],
        "per_device_train_batch_size": job["rows"],
        "gradient_accumulation_steps": job["passes"],
        "learning_rate": job["peak_lr"],
        "lr_scheduler_type": "linear",
        "warmup_steps": round(0.1 * job["steps"]),
        "weight_decay": 0.01,
        "bf16": job["bf16"],
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "seed": 1,
        "disable_tqdm": True,
    }


def classify(job: dict[str, Any], rows: Rows, tokenizer: Any) -> tuple[Trainer, Clock]:
    """Batches padded to their longest text."""
    labels = sorted({row["label"] for row in rows})
    model = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=len(labels), dtype=torch.float32
    )
    encoded = [
        {
            **tokenizer(row["text"], truncation=True, max_length=job["length"]),
            "labels": labels.index(row["label"]),
        }
        for row in rows
    ]
    clock = Clock(DataCollatorWithPadding(tokenizer))
    settings = TrainingArguments(**arguments(job), label_smoothing_factor=0.1)
    trainer = Trainer(model, settings, clock, encoded, callbacks=[clock])
    return trainer, clock


def instruct(job: dict[str, Any], rows: Rows, tokenizer: Any) -> tuple[Trainer, Clock]:
    """TRL's own packing (best fit, longest first) of answers that are learned alone."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    said = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["response"]}],
        }
        for row in rows
    ]
    settings = SFTConfig(
        **arguments(job), packing=True, max_length=job["length"], gradient_checkpointing=False
    )
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    trainer = SFTTrainer(
        model, settings, train_dataset=Dataset.from_list(said), processing_class=tokenizer
    )
    clock = Clock(trainer.data_collator)
    trainer.data_collator = clock
    trainer.add_callback(clock)
    return trainer, clock


def lora(job: dict[str, Any], rows: Rows, tokenizer: Any) -> tuple[Trainer, Clock]:
    """Our packed rows as they are: tokens, and labels where something is learned."""
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    changes = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, changes)

    def collate(some: Rows) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([row[name] for row in some]) for name in some[0]}

    clock = Clock(collate)
    settings = TrainingArguments(**arguments(job), remove_unused_columns=False)
    return Trainer(model, settings, clock, rows, callbacks=[clock]), clock


def main() -> None:
    """Train as the job says, and print what it took."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    rows = [json.loads(line) for line in Path(job["data"]).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    tokenizer.chat_template = job["chat_template"]
    make = {"classify": classify, "instruct": instruct, "lora": lora}[job["task"]]
    trainer, clock = make(job, rows, tokenizer)
    loss = trainer.train().training_loss
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    names = ("torch", "transformers", "trl", "peft")
    found = {
        "positions_per_second": clock.speed(job["warm_up"], job["passes"]),
        "loss": loss,
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "versions": {name: importlib.metadata.version(name) for name in names},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
