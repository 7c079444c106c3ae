"""The peer of `benchmarks/crawl.py`: scrapy, run by the benchmarks' own environment.

python crawl_peer.py START CONCURRENCY OUT: crawls from START, writes the pages to OUT (JSON lines) and
prints {"version": ..., "seconds": ...}.
"""

import json
import sys

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor
from w3lib.url import url_query_cleaner


def plain(url: str) -> str:
    """An address without its query: on this site it says only where a visitor came from."""
    return url_query_cleaner(url)


class Pages(scrapy.Spider):
    """Follows every link of the site and keeps every page."""

    name = "pages"

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start_urls = [start]
        host = start.split("/")[2].split(":")[0]
        self.allowed_domains = [host]
        self.links = LinkExtractor(process_value=plain)

    def parse(self, response):
        """Keep the page and follow its links."""
        yield {"url": response.url, "body": response.text}
        for link in self.links.extract_links(response):
            yield scrapy.Request(link.url)


def main(start: str, concurrency: str, out: str) -> None:
    """Crawl, and print what it took."""
    process = CrawlerProcess(
        {
            "LOG_LEVEL": "ERROR",
            "USER_AGENT": "Peer/1.0",
            "ROBOTSTXT_OBEY": True,
            "COOKIES_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "DOWNLOAD_DELAY": 0,
            "CONCURRENT_REQUESTS": int(concurrency),
            "CONCURRENT_REQUESTS_PER_DOMAIN": int(concurrency),
            "FEEDS": {out: {"format": "jsonlines", "fields": ["url", "body"]}},
        }
    )
    crawler = process.create_crawler(Pages)
    process.crawl(crawler, start=start)
    process.start()
    seconds = crawler.stats.get_value("elapsed_time_seconds")
    print(json.dumps({"version": scrapy.__version__, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
