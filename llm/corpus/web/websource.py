"""The section of a recipe that says which web sites to crawl, and with what manners."""

from collections import Counter
from typing import Literal

from llm.corpus.web.limits import Limits
from llm.corpus.web.login import check_headers
from llm.corpus.web.urls import bare, host, host_name, normalise
from llm.settings import section, setting


@section
class HostBudget:
    """How much of one host to crawl."""

    max_pages: int | None = setting(
        default=None, description="Pages to keep of it at most; none: max_pages_per_host.", ge=0
    )
    max_depth: int | None = setting(
        default=None,
        description="Links to follow away from a seed at most (count); none: max_depth.",
        ge=0,
    )


@section
class WebSource:
    """Web sites to crawl."""

    type: Literal["web"] = setting(default="web", description="Kind of source: web.")
    seeds: tuple[str, ...] = setting(
        description="Addresses to start from; `builtin:python-docs` is the documentation of the "
        "Python installation, `builtin:python-docs+packages` that of the packages too.",
        min_length=1,
    )
    hosts: tuple[str, ...] = setting(
        default=(),
        description="Host names to stay on (with the port unless it is the default; with or without www.); "
        "none: the seeds'.",
    )
    private_hosts: tuple[str, ...] = setting(
        default=(),
        description="Host names that may be on a private network, such as a company's own; without them, "
        "only public addresses are connected to, and addresses and localhost that are seeds.",
    )
    include: tuple[str, ...] = setting(
        default=(),
        description="Patterns of addresses to fetch, `*` for anything (the seeds always are); none: all.",
    )
    exclude: tuple[str, ...] = setting(
        default=(), description="Patterns of addresses never to fetch, `*` for anything."
    )
    max_pages: int = setting(
        default=10_000, description="Pages to keep at most, nearest to the seeds first.", ge=1
    )
    max_depth: int | None = setting(
        default=None,
        description="Links to follow away from a seed at most (count); none: no limit.",
        ge=0,
    )
    max_pages_per_host: int | None = setting(
        default=None, description="Pages to keep of one host at most; none: no limit.", ge=1
    )
    budgets: dict[str, HostBudget] = setting(
        default=dict, description="Hosts, by name, with limits of their own."
    )
    max_per_pattern: int = setting(
        default=2000,
        description="Addresses at most that differ in numbers only, or in the values of the same "
        "parameters, as a calendar's do (count); seeds and what sitemaps list are not limited.",
        ge=1,
    )
    follow_links: bool = setting(default=True, description="Whether to follow the links on pages.")
    sitemaps: bool = setting(
        default=True, description="Whether to fetch what the sites' sitemaps list."
    )
    feeds: bool = setting(
        default=True,
        description="Whether to read the RSS and Atom feeds that the seeds are or name.",
    )
    noindex: Literal["leave_out", "keep"] = setting(
        default="leave_out",
        description="Pages that ask not to be indexed (meta robots, X-Robots-Tag): leave_out, or keep "
        "and let the cleaning decide.",
    )
    recrawl: Literal["conditional", "full"] = setting(
        default="conditional",
        description="With the crawl of the night before at hand: conditional asks only for what "
        "changed (ETag, Last-Modified), full downloads everything again.",
    )
    headers: dict[str, str] = setting(
        default=dict,
        description="Headers that let the crawler in, for the source's own hosts only; each names an "
        "environment variable: {Authorization: 'Bearer env:SITE_TOKEN'}.",
    )
    user_agent: str = setting(
        default="Penstock/0.1",
        description="How the crawler names itself, to servers and in robots.txt.",
        min_length=1,
    )
    delay_seconds: float = setting(
        default=0.5,
        description="Pause between an answer of a host and the next request to it (seconds); "
        "robots.txt can make it longer, and so does trouble. 0: as fast as the server answers.",
        ge=0,
    )
    latency_factor: float = setting(
        default=1.0,
        description="The pause is at least this many times as long as the host takes to answer; has no "
        "meaning where delay_seconds is 0.",
        ge=0,
    )
    max_crawl_delay_seconds: float = setting(
        default=60.0,
        description="A host whose robots.txt asks for a longer pause is left out (seconds).",
        gt=0,
    )
    concurrency: int = setting(
        default=16, description="Requests under way at once, all hosts together (count).", ge=1
    )
    host_concurrency: int = setting(
        default=2,
        description="Requests under way at once to a host (count); 1 where there is a pause.",
        ge=1,
    )
    timeout_seconds: float = setting(
        default=30.0, description="Time for a whole answer (seconds).", gt=0
    )
    max_page_bytes: int = setting(
        default=10_000_000,
        description="Larger pages are left out (bytes, after decompression).",
        gt=0,
    )
    retries: int = setting(
        default=3,
        description="How often to try again after no answer, 429 or 5xx (count).",
        ge=0,
        le=20,
    )
    backoff_seconds: float = setting(
        default=1.0,
        description="First pause before trying again (seconds); doubles each time.",
        ge=0,
    )
    max_wait_seconds: float = setting(
        default=120.0,
        description="A page whose server asks for a longer wait (Retry-After) is given up (seconds).",
        gt=0,
    )
    max_hours: float | None = setting(
        default=24.0,
        description="Time for a night's crawl (hours); what is left then is asked for first in the next "
        "night. none: no limit.",
        gt=0,
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of pages, uncompressed).",
        gt=0,
    )

    def limits(self) -> Limits:
        """What a fetcher needs of it."""
        return Limits(
            timeout_seconds=self.timeout_seconds,
            max_bytes=self.max_page_bytes,
            retries=self.retries,
            backoff_seconds=self.backoff_seconds,
            max_wait_seconds=self.max_wait_seconds,
            connections=self.concurrency,
        )

    def __post_init__(self) -> None:
        check_headers(self.headers)
        hosts = {bare(host_name(name)) for name in self.hosts}
        for name in self.private_hosts:
            host_name(name)
        budgets = Counter(map(host_name, self.budgets))
        twice = [name for name, count in budgets.items() if count > 1]
        if twice:
            raise ValueError(f"budgets names {twice[0]} more than once, in other spellings")
        seeds = [normalise(seed) for seed in self.seeds]
        known = hosts or {bare(host(seed)) for seed in seeds if seed is not None}
        unknown = [name for name in budgets if bare(name) not in known]
        # A seed that is no address (`builtin:...`) has a host that is not known here.
        if unknown and None not in seeds:
            raise ValueError(
                f"budgets names {unknown[0]}, which is none of the crawl's hosts: correct it, or add it "
                "to hosts"
            )
