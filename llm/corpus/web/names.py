"""Whether the hosts of a crawl's seeds are known to name servers, asked before anything is crawled."""

import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from urllib.parse import urlsplit

# Answers that say a name does not exist; others say that nobody could be asked.
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_SECONDS = 10.0  # a name server that takes longer is none that says no
_AT_ONCE = 16


def unresolved(addresses: Iterable[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """Hosts that do not exist, by the addresses (normalised) that have them.

    mapped: hosts (with their port or without) that stand for another address, which are not asked
    about. A server that does not answer says nothing.
    """
    hosts: dict[str, str] = {}
    for address in addresses:
        parts = urlsplit(address)
        if parts.hostname and parts.netloc not in mapped and parts.hostname not in mapped:
            hosts[address] = parts.hostname
    names = sorted(set(hosts.values()))
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="names")
    asked = {pool.submit(_is_unknown, name): name for name in names}
    done, _ = wait(asked, timeout=_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    unknown = {asked[one] for one in done if one.result()}
    return {address: name for address, name in hosts.items() if name in unknown}


def _is_unknown(name: str) -> bool:
    if name == "invalid" or name.endswith(".invalid"):  # RFC 6761, 6.4
        return True
    try:
        socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error.errno in _UNKNOWN
    except (OSError, UnicodeError):
        return False
    return False
