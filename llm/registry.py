"""What there is to choose from, by kind and name: a new part is a file and a line here.

Read by recipes and by the calls of steps alone. No step's module imports this file, so that a line
more changes no key.
"""

from collections.abc import Mapping

PARTS: Mapping[str, Mapping[str, str]] = {
    # How a model's blocks are put together (`pretrain.model.architecture`).
    "architecture": {
        "decoder": "llm.models.decoder:Decoder",
        "encoder": "llm.models.encoder:Encoder",
        "encoder_decoder": "llm.models.encoder_decoder:EncoderDecoder",
    },
    # What models are measured by (`evaluate.suites`).
    "suite": {
        "perplexity": "llm.evaluation.suites.perplexity",
        "infilling": "llm.evaluation.suites.infilling",
        "answers": "llm.evaluation.suites.answers",
        "labels": "llm.evaluation.suites.labels",
        "values": "llm.evaluation.suites.values",
        "translations": "llm.evaluation.suites.translations",
        "preferences": "llm.evaluation.suites.preferences",
        "samples": "llm.evaluation.suites.samples",
    },
    # Simple methods that are measured beside them (`evaluate.baselines`).
    "baseline": {
        "uniform": "llm.evaluation.baselines.uniform",
        "bigram": "llm.evaluation.baselines.witten_bell",
        "ngram5": "llm.evaluation.baselines.witten_bell",
        "xz": "llm.evaluation.baselines.xz",
        "xz_primed": "llm.evaluation.baselines.xz",
        "kneser_ney": "llm.evaluation.baselines.kneser_ney",
        "hmm": "llm.evaluation.baselines.hmm",
        "lstm": "llm.evaluation.baselines.trained",
        "cnn": "llm.evaluation.baselines.trained",
    },
    # What steps the parameters (`optimizer.type`).
    "optimizer": {
        "adamw": "llm.training.optimizers.adamw:FlatAdamW",
        "muon": "llm.training.optimizers.muon:FlatMuon",
    },
    # How a model folder is written, by the model_type of its config.json: the first that a model fits.
    "layout": {
        "qwen3": "llm.models.layouts.llama",
        "llama": "llm.models.layouts.llama",
        "mistral": "llm.models.layouts.llama",
        "gpt2": "llm.models.layouts.gpt2",
        "bert": "llm.models.layouts.bert",
        "bart": "llm.models.layouts.bart",
        "blenderbot": "llm.models.layouts.bart",
        "penstock": "llm.models.layouts.own",
    },
    # What a model is pretrained for (`pretrain.objective.type`).
    "objective": {
        "next_token": "llm.training.objectives.next_token:NextToken",
        "masked": "llm.training.objectives.masked:MaskedTokens",
        "masked_next_sentence": "llm.training.objectives.next_sentence:MaskedNextSentence",
        "span_corruption": "llm.training.objectives.span_corruption:Spans",
    },
    # What is trained of a model that is fine-tuned (`finetune.N.adapt`).
    "adapt": {
        "lora": "llm.training.finetune.lora",
    },
    # What a model is fine-tuned for (`finetune.N.task`).
    "task": {
        "instruct": "llm.training.finetune.instruct:Instruct",
        "classify": "llm.training.finetune.classify:Classify",
        "regress": "llm.training.finetune.regress:Regress",
        "translate": "llm.training.finetune.translate:Translate",
        "prefer": "llm.training.finetune.prefer:Prefer",
    },
}
