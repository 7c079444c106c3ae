"""What models put into the gaps of a text that were pretrained to fill in.

An encoder puts one token into each gap, an encoder-decoder as many as it likes.
"""

from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer

from llm.models.encoder import Encoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import Request, draw, generate_all
from llm.models.writing import Text
from llm.step import BadInput
from llm.tokens.plain_text import encode_texts
from llm.tokens.special import (
    CLASSIFY,
    END_OF_TEXT,
    MASK,
    PADDING,
    SENTINELS,
    SEPARATOR,
    special_ids,
)


def fill(
    model: Encoder | EncoderDecoder,
    tokenizer: Tokenizer,
    texts: Sequence[Sequence[str]],
    temperature: float,
    top_k: int | None,
    seed: int,
    most: int,
) -> list[Text]:
    """Each text with its gaps filled, which are between its pieces. most: new tokens, at most.

    Raises BadInput for a text that is longer than the model's context, or has too many gaps.
    """
    filler = _masks if isinstance(model, Encoder) else _spans
    found = []
    for number, pieces in enumerate(texts):
        prompt = " ... ".join(pieces)
        # The blank before a word is the word's, as most tokenizers have it.
        pieces = [*(piece.removesuffix(" ") for piece in pieces[:-1]), pieces[-1]]
        if len(pieces) > len(SENTINELS):
            raise BadInput(f"the prompt {prompt!r:.80} has more than {len(SENTINELS) - 1} gaps")
        ids = [one.ids for one in encode_texts(tokenizer, pieces)]
        room = model.config.context_length - len(pieces) - 1
        if sum(map(len, ids)) > room:
            raise BadInput(
                f"the prompt {prompt!r:.80} has {sum(map(len, ids))} tokens, and the model's context has "
                f"room for {room}: shorten it"
            )
        request = Request([0], most, temperature, top_k, seed + number)
        gaps, tokens, ended = filler(model, tokenizer, ids, request)  # type: ignore[arg-type]
        words = [piece + gap for piece, gap in zip(pieces, [*gaps, ""], strict=True)]
        found.append(Text("".join(words), tokens, ended))
    return found


@torch.inference_mode()
def _masks(
    model: Encoder, tokenizer: Tokenizer, pieces: Sequence[Sequence[int]], request: Request
) -> tuple[list[str], int, bool]:
    mask = special_ids(tokenizer, (MASK,))[MASK]
    row = list(_joined(pieces, [mask] * (len(pieces) - 1)))
    if model.config.next_sentence:
        ids = special_ids(tokenizer, (CLASSIFY, SEPARATOR))
        row = [ids[CLASSIFY], *row, ids[SEPARATOR]]
    tokens = torch.tensor([row], device=model.embedding.device)
    logits = model.logits(model.hidden_states(tokens)[tokens == mask])
    count, draws = len(logits), Random(request.seed)
    found = draw(logits, [request] * count, [draws] * count)
    return [tokenizer.decode([token]) for token in found], count, True


def _spans(
    model: EncoderDecoder, tokenizer: Tokenizer, pieces: Sequence[Sequence[int]], request: Request
) -> tuple[list[str], int, bool]:
    ids = special_ids(tokenizer, (PADDING, END_OF_TEXT, *SENTINELS))
    sentinels = [ids[name] for name in SENTINELS]
    gaps = len(pieces) - 1
    asked = Request(
        list(_joined(pieces, sentinels)),
        request.max_new_tokens,
        request.temperature,
        request.top_k,
        request.seed,
        # Behind the last gap the model writes the next sentinel.
        stop_ids={sentinels[gaps], ids[END_OF_TEXT]},
        start_id=ids[PADDING],
    )
    [made] = generate_all(model, [asked])
    cuts = np.flatnonzero(np.isin(made, sentinels)).tolist()
    spans = {
        made[begin]: made[begin + 1 : end]
        # A model that is hardly trained may write no sentinel at all.
        for begin, end in zip(cuts, [*cuts[1:], len(made)], strict=False)
    }
    texts = [tokenizer.decode(spans.get(sentinel, [])) for sentinel in sentinels[:gaps]]
    return texts, len(made), len(made) < request.max_new_tokens


def _joined(pieces: Sequence[Sequence[int]], marks: Sequence[int]) -> Iterator[int]:
    for number, piece in enumerate(pieces):
        yield from piece
        if number < len(pieces) - 1:
            yield marks[number]
