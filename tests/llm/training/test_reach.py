"""What pretraining reaches: an edit of any of these modules trains models again, so the list is short.

Whoever adds a line here says in the commit why a model comes out otherwise when that module changes.
"""

from llm.fingerprint import fingerprint
from llm.machine import Machine
from llm.parts import chosen, modules, registry
from llm.recipe import load_recipe
from llm.training.ranks.launch import how
from tasks.stages.pretrain import parts_of

MOST = 62
REACHED = """
    durable
    models.build
    models.config
    models.counting
    models.folder
    models.gradient_places
    models.growth
    models.layouts.fields
    models.layouts.filling
    models.layouts.outputs
    models.layouts.table
    models.roles
    parts
    settings
    step
    tensor_file
    tokens.arrow
    tokens.batches
    tokens.batches_settings
    tokens.order
    tokens.packing
    tokens.phases
    tokens.rows
    tokens.shards
    tokens.special
    training.ways.accelerated
    training.ranks.barrier
    training.batch
    training.checkpoints
    training.ways.compiling
    training.pretrain.continual
    training.pretrain.continual_settings
    training.pretrain.data
    training.devices
    training.ranks.guard
    training.incidents
    training.loop
    training.pretrain.nights
    training.objectives.build
    training.objectives.settings
    training.optimisation
    training.optimizers.settings
    training.ways.out_of_memory
    training.ways.passes
    training.plan
    training.pretrain.step
    training.pretrain.settings
    training.ranks.rank
    training.ways.flat
    training.ways.replicated
    training.run
    training.schedule
    training.ways.sharded
    training.ways.choice
    training.pretrain.trunk
    training.validation
    training.pretrain.vocabulary
    training.work
    training.writer
    words
"""
# What the demo's model and training choose: a decoder in Qwen3's layout, the next token, Muon.
CHOSEN = """
    code_cache
    compiled
    models.activations
    models.attention
    models.block
    models.block_attention
    models.decoder
    models.fused_block
    models.fused_loss
    models.gradients
    models.head_attention
    models.kernels.activations
    models.kernels.attention
    models.kernels.availability
    models.kernels.calls
    models.kernels.choices
    models.kernels.compiler
    models.kernels.cross_entropy
    models.kernels.dropout
    models.kernels.machine_code
    models.kernels.norms
    models.kernels.numbers
    models.kernels.operations
    models.kernels.products
    models.kernels.softmax
    models.kernels.softmax_operations
    models.kernels.sums
    models.language_model
    models.layers
    models.layouts.fit
    models.layouts.llama
    models.loss
    models.mask
    models.norms
    models.output_head
    models.processor
    models.rotary
    models.spans
    models.sublayers
    training.objectives.next_token
    training.optimizers.adamw
    training.optimizers.muon
"""
PRETRAIN = "llm.training.pretrain.step"


def named(text: str) -> set[str]:
    return {f"llm.{name}" for name in text.split()}


def test_the_step_reaches_these_modules_and_no_others() -> None:
    found = set(fingerprint(PRETRAIN).modules)
    assert found == named(REACHED)
    assert len(found) < MOST


def test_a_recipe_s_choices_add_these() -> None:
    parts = parts_of(load_recipe("demo").pretrain)
    assert set(fingerprint(PRETRAIN, *modules(parts)).modules) == named(REACHED) | named(CHOSEN)


def test_no_choice_reaches_what_decides_nothing() -> None:
    """Registries, named sizes, the machine, how ranks are started and watched, what they cost."""
    every = [chosen(kind, registry(kind)) for kind in ("architecture", "layout", "objective")]
    reached = fingerprint(PRETRAIN, *(one for parts in every for one in modules(parts))).modules
    apart = """machine registry models.presets models.layouts.choose training.ranks.launch training.ranks.room
    training.scaling.cost training.meter training.environment training.peaks"""
    assert not named(apart) & set(reached)


def test_a_job_says_how_it_trains_apart_from_what() -> None:
    job = how(Machine(), 128)
    assert set(job) == {"device", "micro_batch", "parallelism", "compiled", "parts"}
