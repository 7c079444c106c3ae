"""What the report is told besides its inputs."""

from llm.settings import section, setting


@section
class ReportValues:
    """What the step is given besides the artifacts."""

    title: str = setting(description="Name of the recipe, the page's title.")
    snapshot: str = setting(default="", description="Name of the crawl that the run is about.")
    finetuned: tuple[str, ...] = setting(
        default=(), description="Names of the fine-tuned models, in the inputs' order."
    )
