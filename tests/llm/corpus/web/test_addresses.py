"""Only public addresses are connected to, however they are written (RFC 6890)."""

import pytest

from llm.corpus.web.addresses import Gate, PrivateAddress, is_public, private_names


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34",
     "64:ff9b::5db8:d822", "2002:5db8:d822::1"],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
        "::", "::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1",
        # The same packed into IPv6: mapped, compatible, NAT64, 6to4, Teredo (its client is inverted).
        "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1",
        "2002:7f00:1::", "2002:c0a8:101::1", "2001:0:5db8:d822:0:0:80ff:fffe", "nonsense",
    ],
)  # fmt: skip
def test_addresses_that_are_not_everybody_s(address: str) -> None:
    assert not is_public(address)


def test_one_private_address_closes_a_host_unless_the_recipe_names_it() -> None:
    found = ["93.184.216.34", "10.0.0.1", "93.184.216.34"]
    with pytest.raises(PrivateAddress, match=r"a\.example is 10\.0\.0\.1"):
        Gate().checked("a.example", found)
    assert Gate(private=frozenset({"a.example"})).checked("A.example", found) == found[:2]


def test_places_that_say_where_they_are_may_be_private() -> None:
    places = ["http://127.0.0.1:80/", "http://[::1]/", "http://localhost/", "https://a.example/"]
    named = private_names(places, ["b.example:8000"])
    assert named == {"127.0.0.1", "::1", "localhost", "b.example"}


def test_a_stand_in_is_found_with_and_without_a_port() -> None:
    gate = Gate({"a.test": "127.0.0.1:1", "b.test:81": "localhost:2", "[::1]:3": "[::2]:4"})
    assert gate.stand_in("a.test", 443) == ("127.0.0.1", 1)
    assert gate.stand_in("b.test", 81) == ("localhost", 2)
    assert gate.stand_in("::1", 3) == ("::2", 4)
    assert gate.stand_in("b.test", 80) is None
