//! Where a request comes from.

use std::net::IpAddr;

/// Returns the /64 network of an IPv6 address, because a single client usually controls the whole network.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}
