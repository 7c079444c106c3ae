"""The stage crawl as a flow: every source → its pages."""

from flows.stage import stage_flow
from tasks import crawl as wiring

crawl = stage_flow("crawl", wiring.crawl)
