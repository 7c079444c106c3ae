"""How far a crawl goes: which addresses it may ask for, and how much of each host."""

from llm.corpus.web.addresses import private_names
from llm.corpus.web.traps import ENDLESS, is_endless
from llm.corpus.web.urls import bare, host, host_name, matches, normalise
from llm.corpus.web.websource import WebSource

ELSEWHERE, EXCLUDED, NOT_INCLUDED = "elsewhere", "excluded", "not_included"


class Scope:
    """The limits of a source, with its hosts and seeds in their one spelling."""

    def __init__(self, values: WebSource) -> None:
        self.values = values
        self.seeds = [seed for seed in map(normalise, values.seeds) if seed is not None]
        # www.example.org and example.org are one site, which redirects from one to the other.
        names = map(host_name, values.hosts) if values.hosts else map(host, self.seeds)
        self.hosts = {*map(bare, names)}
        places = [*self.seeds, *(f"http://{name}" for name in self.hosts)]
        self.private = private_names(places, map(host_name, values.private_hosts))
        self.budgets = {host_name(name): budget for name, budget in values.budgets.items()}

    def is_own(self, url: str) -> bool:
        """Whether an address is on one of the source's hosts."""
        return bare(host(url)) in self.hosts

    def refusal(self, url: str) -> str:
        """Why the crawl may not go there: ELSEWHERE, EXCLUDED, ENDLESS or NOT_INCLUDED; "": it may."""
        if not self.is_own(url):
            return ELSEWHERE
        if matches(url, self.values.exclude):
            return EXCLUDED
        if is_endless(url):
            return ENDLESS
        if self.values.include and not matches(url, self.values.include):
            return NOT_INCLUDED
        return ""

    def too_deep(self, depth: int, url: str) -> bool:
        """Whether this depth (links from a seed) is more than is wanted of the address's host."""
        budget = self.budgets.get(host(url))
        most = self.values.max_depth
        if budget is not None and budget.max_depth is not None:
            most = budget.max_depth
        return most is not None and depth > most

    def max_pages_of(self, name: str) -> int | None:
        """How many pages of a host are wanted at most; None: there is no limit."""
        budget = self.budgets.get(name)
        if budget is not None and budget.max_pages is not None:
            return budget.max_pages
        return self.values.max_pages_per_host
