#!/usr/bin/env bash
# The same tokenizer.json with the same tokenizer_config.json (tokenizer_class PreTrainedTokenizerFast, nothing said
# of model_input_names) gives token_type_ids in transformers 4 and none in transformers 5. In 4 they are there even
# for a tokenizer of a model that has no token types: passed on as they are (`model(**batch)`), GPT-2 looks them up in
# its table of words and adds what it finds. A pair of texts for BERT, read by 5, has no types any more, so both
# texts count as the first one. Neither says a word. One would have guessed that what a tokenizer returns is a matter
# of its files. Writing model_input_names into tokenizer_config.json makes both return the same.
# Versions: transformers 4.57.6 and 5.24.0, tokenizers of each one's choice; torch is not needed.
# Source: https://huggingface.co/docs/transformers/main_classes/tokenizer (model_input_names)
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
cat > make.py <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[SEP]": 1, "a": 2, "b": 3}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = Whitespace()
tokenizer.post_processor = TemplateProcessing(
    single="$A:0 [SEP]:0", pair="$A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[SEP]", 1)]
)
for name, more in (("plain", {}), ("said", {"model_input_names": ["input_ids", "attention_mask"]})):
    folder = Path(name)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    fields = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", **more}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
PYTHON
cat > read.py <<'PYTHON'
import json

from transformers import PreTrainedTokenizerFast, __version__

found = {
    name: sorted(PreTrainedTokenizerFast.from_pretrained(name)("a", "b"))
    for name in ("plain", "said")
}
print(json.dumps({"transformers": __version__, **found}))
PYTHON
for version in 4.57.6 5.24.0; do
  python3 -m venv "env$version"
  "env$version/bin/pip" install -q --disable-pip-version-check "transformers==$version"
done
"env5.24.0/bin/python" make.py
for version in 4.57.6 5.24.0; do "env$version/bin/python" read.py 2>/dev/null; done | tee seen.jsonl
python3 - <<'PYTHON'
import json

old, new = (json.loads(line) for line in open("seen.jsonl"))
types = "token_type_ids"
assert types in old["plain"] and types not in new["plain"], "both releases do the same now"
assert old["said"] == new["said"] == ["attention_mask", "input_ids"]
print("as described: transformers 4 gives token types that 5 does not")
PYTHON
