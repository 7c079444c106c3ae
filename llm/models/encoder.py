"""The encoder: every token sees the whole row, and the head fills in what was hidden.

With preset bert it is BERT (Devlin et al., arXiv 1810.04805) with both of its heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.activations import activate
from llm.models.block import Block
from llm.models.config import ModelConfig
from llm.models.language_model import LanguageModel
from llm.models.layers import Linear
from llm.models.loss import IGNORE
from llm.models.norms import make_norm


class HeadTransform(nn.Module):
    """BERT's last layer before the masked head, norm(activation(dense(x))), and the head's biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.d_model, config.d_model, bias=True)
        self.norm = make_norm(config)
        self.bias = nn.Parameter(torch.empty(config.vocabulary))
        self.kind = config.feed_forward

    def forward(self, x: Tensor) -> Tensor:
        normal: Tensor = self.norm(activate(self.dense(x), self.kind))
        return normal


class NextSentence(nn.Module):
    """Whether a row's second sentence follows its first, from the state of the row's first token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pooler = Linear(config.d_model, config.d_model, bias=True)
        self.classifier = Linear(config.d_model, 2, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """States of first tokens (B, d_model) → logits (B, 2) of [follows, random], float32."""
        logits: Tensor = self.classifier(torch.tanh(self.pooler(x)))
        return logits.float()


class Encoder(LanguageModel):
    """A bidirectional model: for masked language modelling, next sentences, and as a trunk."""

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config, compute_dtype)
        self.types = None
        if config.token_types:
            self.types = nn.Parameter(torch.empty(config.token_types, config.d_model))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = make_norm(config) if config.norm_position == "pre" else nn.Identity()
        tokens = config.outputs is None  # what its heads are for
        self.transform = HeadTransform(config) if config.head_transform and tokens else None
        self.next_sentence = NextSentence(config) if config.next_sentence and tokens else None

    def before_head(self, x: Tensor) -> Tensor:
        """What the masked head reads."""
        return x if self.transform is None else self.transform(x)

    def output_bias(self) -> Tensor | None:
        """The masked head's biases (vocabulary,)."""
        return None if self.transform is None else self.transform.bias

    def hidden_states(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        types: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, T) → states (B, T, d_model) in the compute type.

        segments (B, T): a token sees only tokens of its own segment; 0 is padding. types (B, T):
        which part of the row a token belongs to, below config.token_types; None: all to part 0.
        wanted (n,) int64: only these of the B * T states, (n, d_model).
        Raises ValueError for rows that are too long, and for types that the model has not.
        """
        self.check_length(tokens.shape[1])
        extra = None
        if self.types is not None:
            extra = F.embedding(torch.zeros_like(tokens) if types is None else types, self.types)
        elif types is not None:
            raise ValueError("types are given, but the model has none: set model.token_types")
        x = self.embed(tokens, segments, extra=extra)
        rotary = self.angles(0, tokens.shape[1])
        masks = self.masks(tokens.shape[1], tokens.shape[1], False, segments)
        last = self.blocks[-1]
        for block, mask in zip(self.blocks, masks, strict=True):
            x = block(x, mask, rotary, wanted=wanted if block is last else None)
        normal: Tensor = self.norm(x)
        return normal

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """tokens (B, T) → logits (B, T, vocabulary) of what stands at each place, float32."""
        return self.logits(self.hidden_states(tokens, segments, types))

    def follows(
        self, tokens: Tensor, segments: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Logits (B, 2) of [the second sentence follows the first, it is random], float32."""
        return self._next_sentence()(self.hidden_states(tokens, segments, types)[:, 0])

    def _next_sentence(self) -> NextSentence:
        if self.next_sentence is None:
            raise ValueError("the model has no next-sentence head: set model.next_sentence")
        return self.next_sentence

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        segments: Tensor | None = None,
        types: Tensor | None = None,
        pairs: Tensor | None = None,
        pair_weight: float = 0.0,
    ) -> Tensor:
        """Masked language modelling, and next sentences: a float32 scalar, in nats.

        Sum over targets (B, T) other than -100 of -ln p(target | row), plus pair_weight times the
        sum over rows of -ln p(pair). pairs (B,): 1 the second sentence follows, 0 it is random,
        -100 it does not count. Raises ValueError for pairs without a head for them.
        """
        read = targets != IGNORE
        if self.next_sentence is not None:
            read[:, 0] = True
        wanted = self.wanted_places(read)
        x = self.hidden_states(tokens, segments, types, wanted)
        total = self.summed_loss(x, targets if wanted is None else targets.flatten()[wanted])
        if self.next_sentence is None and pairs is None:
            return total
        # Without pairs the head adds nothing, but its gradients are zeros and not missing.
        pairs = tokens.new_full((len(tokens),), IGNORE) if pairs is None else pairs
        classes = (1 - pairs).where(pairs != IGNORE, IGNORE)  # BERT's first class is "follows"
        first = x[:, 0] if wanted is None else x[wanted % tokens.shape[1] == 0]
        logits = self._next_sentence()(first)
        return total + pair_weight * F.cross_entropy(logits, classes, reduction="sum")

    @torch.no_grad()
    def token_losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        segments: Tensor | None = None,
        types: Tensor | None = None,
    ) -> Tensor:
        """-ln p(target) of every position, (B, T) float32 in nats; 0 where the target is -100."""
        x = self.hidden_states(tokens, segments, types)
        return self.row_losses(x.flatten(0, 1), targets.flatten()).view(targets.shape)
