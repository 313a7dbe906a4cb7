"""Which network addresses are the public internet's. Everything else could be a way into our own network.

The table is our own, because what the standard library calls private differs between its versions and leaves out
multicast, CGNAT and IPv6 forms that carry an IPv4 address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# IANA special-purpose registry for IPv4, and the address that Azure keeps its machines' metadata behind.
SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
# Only this block is handed out as public IPv6; within it these are not.
GLOBAL_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
)
NAT64 = IPv6Network("64:ff9b::/96")
MAPPED = IPv6Network("::ffff:0:0/96")
ISATAP = (0x00005EFE, 0x02005EFE)  # the upper half of an interface id whose lower half is an IPv4 address

# What `webhook_private` opens: the networks of a site and this machine. Link-local stays shut: metadata lives there.
PRIVATE = (
    *(IPv4Network(text) for text in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    *(IPv6Network(text) for text in ("::1/128", "fc00::/7")),
)


def parse_address(text: str) -> Address | None:
    """An address as name resolution gives it, or None; a scope (``%eth0``) makes it none."""
    try:
        return ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is the public internet's, also looking at the IPv4 address inside an IPv6 one."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address in MAPPED or address in NAT64:  # with DNS64 every IPv4 host is reached through NAT64
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in GLOBAL_V6 or any(address in network for network in SPECIAL_V6):
        return False
    upper = (int(address) >> 32) & 0xFFFFFFFF
    return upper not in ISATAP


def is_site(address: Address) -> bool:
    """Whether an address is this machine's or its site's private network's."""
    if isinstance(address, IPv6Address) and address in MAPPED:
        return is_site(IPv4Address(int(address) & 0xFFFFFFFF))
    return any(address.version == network.version and address in network for network in PRIVATE)
