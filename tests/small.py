"""The demo made small enough for a test: values that replace the recipe's."""

DEMO = (
    "crawl.sources.docs.max_pages=30",
    "tokenizer.vocabulary=400",
    "tokenize.validation.fraction=0.3",
    "pretrain.model.layers=1",
    "pretrain.model.d_model=32",
    "pretrain.model.context_length=64",
    "pretrain.batch_tokens=512",
    "finetune=[]",
)
