"""robots.txt (RFC 9309): what a site allows, how slowly, and where its sitemaps are."""

from dataclasses import dataclass

from protego import Protego

LIBRARIES = ("protego",)

MAX_BYTES = 512 * 1024
"""How much of a robots.txt is read (RFC 9309 asks for at least 500 KiB)."""


@dataclass(frozen=True)
class Rules:
    """The parsed robots.txt of one site for one crawler."""

    user_agent: str
    parsed: Protego

    def allowed(self, url: str) -> bool:
        """Whether the crawler may fetch `url`."""
        return bool(self.parsed.can_fetch(url, self.user_agent))

    @property
    def delay_seconds(self) -> float | None:
        """The longest pause the site asks for: Crawl-delay, or what Request-rate comes to."""
        delays = [self.parsed.crawl_delay(self.user_agent)]
        rate = self.parsed.request_rate(self.user_agent)
        if rate is not None and rate.requests:
            delays.append(rate.seconds / rate.requests)
        return max((float(delay) for delay in delays if delay is not None), default=None)

    @property
    def sitemaps(self) -> list[str]:
        """Addresses of sitemaps, as written, in order."""
        return list(dict.fromkeys(self.parsed.sitemaps))


def read(robots_txt: str, user_agent: str) -> Rules:
    """Parse a robots.txt; whatever is no rule in it (an error page, say) is passed over."""
    return Rules(user_agent, Protego.parse(robots_txt))


def from_response(status: int, body: bytes, user_agent: str) -> Rules:
    """The rules that an answer stands for: 2xx what it says, 3xx and 4xx all allowed.

    Where there is no answer, or only 5xx or 429, there are no rules to be had: fetch nothing.
    """
    text = body[:MAX_BYTES].decode("utf-8-sig", "replace") if 200 <= status < 300 else ""
    return read(text.replace("\x00", ""), user_agent)


def allowed(robots_txt: str, user_agent: str, url: str) -> bool:
    """Whether `robots_txt` lets `user_agent` fetch `url`."""
    return read(robots_txt, user_agent).allowed(url)
