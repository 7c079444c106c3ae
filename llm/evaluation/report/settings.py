"""What the report is told besides its inputs."""

from llm.settings import section, setting


@section
class ReportValues:
    """What the step is given besides the artifacts."""

    title: str = setting(description="Name of the recipe, the page's title.")
    snapshot: str = setting(default="", description="Name of the crawl that the run is about.")
    models: tuple[str, ...] = setting(
        default=("base",), description="Names of the models, the base model first."
    )
    suites: tuple[str, ...] = setting(
        default=(), description="Names of the suites, in the order in which they are shown."
    )
    baselines: dict[str, str] = setting(
        default=dict, description="What the report calls each baseline, by name."
    )
