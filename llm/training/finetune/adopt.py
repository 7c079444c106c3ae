"""The adopt step: a model folder that others wrote, as a base model for tasks.

The model is read once, whatever layout its folder has, and gets tokens that it lacks and its tasks need.
"""

import dataclasses

from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult
from llm.training.work import MODEL, folder_digest
from llm.words import counted

LIBRARIES = ("torch", "safetensors", "tokenizers")


@section
class AdoptSettings:
    """What a model is made ready for."""

    tokens: tuple[str, ...] = setting(
        default=(),
        description="Special tokens that the model must have; those that it lacks are added.",
    )


def adopt(values: AdoptSettings, inputs: Inputs, context: Context) -> StepResult:
    """Write model/ from the folder `inputs["folder"]`, with rows for tokens that its vocabulary lacked.

    A new row is the mean of the others (see `llm.models.growth`): a task that brings the tokens trains them.
    Raises BadInput naming the file and the field or tensor that the model cannot do.
    """
    from tokenizers import AddedToken

    from llm.models.build import build
    from llm.models.folder import load_any, save
    from llm.models.growth import grown
    from llm.tokens.special import id_count

    [folder] = inputs["folder"]
    model, tokenizer = load_any(folder)
    lacking = [name for name in values.tokens if tokenizer.token_to_id(name) is None]
    if lacking:
        tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in lacking])
    path = context.work / "tokenizer.json"
    tokenizer.save(str(path))
    vocabulary = max(model.config.vocabulary, id_count(tokenizer))
    if vocabulary > model.config.vocabulary:
        larger = build(dataclasses.replace(model.config, vocabulary=vocabulary))
        larger.load_state_dict(grown(dict(model.named_parameters()), vocabulary))
        larger.set_rotary()
        model = larger
    save(model, context.out / MODEL, path)
    found = sum(parameter.numel() for parameter in model.parameters())
    added = f", {counted(len(lacking), 'token')} added" if lacking else ""
    return StepResult(
        counts={"parameters": found, "tokens_added": len(lacking)},
        content=folder_digest(context.out / MODEL),
        summary=f"{counted(found, 'parameter')} read{added}",
    )
