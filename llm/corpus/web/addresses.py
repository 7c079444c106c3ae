"""Which addresses are everybody's (RFC 6890), and which hosts may be asked although theirs are not."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not everybody's, though not each Python version knows.
_OTHERS = [
    ipaddress.IPv6Network(text)
    # NAT64 within a site (RFC 8215), IPv4-compatible, site-local, documentation (RFC 9637), SRv6 (RFC 9602)
    for text in ("64:ff9b:1::/48", "::/96", "fec0::/10", "3fff::/20", "5f00::/16")
] + [ipaddress.IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "0.0.0.0/8")]


class PrivateAddress(Exception):
    """A host is on a network that is not everybody's."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(f"private_address: {name} is {address}, which is not a public address")


def is_public(address: str) -> bool:
    """Whether an IP address is everybody's; one that another is packed into only if that one is too."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    packed = _packed(found) if isinstance(found, ipaddress.IPv6Address) else ()
    if packed:
        return all(is_public(str(inner)) for inner in packed)
    if any(found in network for network in _OTHERS if network.version == found.version):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def _packed(address: ipaddress.IPv6Address) -> Sequence[ipaddress.IPv4Address]:
    """The IPv4 addresses within: mapped, 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052)."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


def private_names(places: Iterable[str], hosts: Iterable[str] = ()) -> frozenset[str]:
    """The hosts that may be private, as a recipe has named them: for `Gate`.

    Of `places` (URLs) those that say by themselves where they are: addresses and localhost; all `hosts`.
    """
    named = (urlsplit(place).hostname or "" for place in places)
    listed = (urlsplit(f"//{host}").hostname or "" for host in hosts)
    return frozenset({*filter(_says_where, named), *filter(None, listed)})


def _says_where(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Gate:
    """Which hosts may be asked.

    hosts: addresses (host:port) that stand in for names, with or without a port, and are not checked. private: names of hosts whose addresses may be private.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    private: frozenset[str] = frozenset()

    def stand_in(self, host: str, port: int) -> tuple[str, int] | None:
        """Where to connect to instead; None: to the host itself."""
        names = [host, f"[{host}]"] if ":" in host else [host]
        keys = [key for name in names for key in (f"{name}:{port}", name)]
        found = next((self.hosts[key] for key in keys if key in self.hosts), None)
        if found is None:
            return None
        name, _, number = found.rpartition(":")
        return name.strip("[]"), int(number)

    def checked(self, host: str, addresses: Iterable[str]) -> list[str]:
        """The addresses of a host, each once. Raises PrivateAddress unless all are public or it may be so."""
        found = list(dict.fromkeys(addresses))
        if host.lower() not in self.private:
            for address in found:
                if not is_public(address):
                    raise PrivateAddress(host, address)
        return found
