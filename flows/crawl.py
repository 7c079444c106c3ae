"""The stage crawl as a flow of its own."""

from prefect import flow

from flows.stage import run_stage
from tasks import crawl as wiring


@flow(name="crawl", flow_run_name="crawl {recipe}")
def crawl(
    recipe: str = "demo",
    overrides: list[str] | None = None,
    snapshot: str | None = None,
    force: bool = False,
    keep: bool = False,
    machine: list[str] | None = None,
    run: str | None = None,
    after: list[dict[str, str]] | None = None,
) -> dict[str, str]:
    """Run the stage crawl of a recipe, alone on what its newest run left, or within the pipeline.

    run, after: set by the pipeline: its run record, and the stage before (for the graph's arrows).
    """
    return run_stage(
        "crawl", wiring.crawl, recipe, overrides or [], snapshot, force, keep, machine or [], run
    )
