//! Numbers and addresses in network byte order, by the names of the kernel's types.
//!
//! | type | value |
//! | --- | --- |
//! | `__be16`, `__be32`, `__be64` | a number, in this machine's byte order |
//! | a member `__be32` whose name says so (`saddr`, `dst_ip`) | an IPv4 address |
//! | `struct in_addr` | an IPv4 address |
//! | `struct in6_addr` | an IPv6 address |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{kind::Kind, value::Value, view::Btf};

/// How a type in network byte order is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkType {
    /// An unsigned integer: `__be16`, `__be32`, `__be64`.
    Number,
    /// An IPv4 address: `struct in_addr`.
    Ipv4,
    /// An IPv6 address: `struct in6_addr`.
    Ipv6,
}

impl Btf<'_> {
    /// Returns how values of the type `id` are decoded, if its name says that they are in network byte order. Typedefs
    /// and qualifiers are followed.
    ///
    /// A member of the type `__be32` can also be an IPv4 address, by its own name: see [`Btf::value`].
    #[must_use]
    pub fn network_type(&self, id: u32) -> Option<NetworkType> {
        /// Longer chains of typedefs are circles.
        const LONGEST: usize = 32;
        let mut id = id;
        for _ in 0..LONGEST {
            let ty = self.ty(id);
            let size = || self.size_of(id);
            match (ty.kind(), ty.name_bytes()) {
                (Kind::Typedef, b"__be16") if size() == Some(2) => return Some(NetworkType::Number),
                (Kind::Typedef, b"__be32") if size() == Some(4) => return Some(NetworkType::Number),
                (Kind::Typedef, b"__be64") if size() == Some(8) => return Some(NetworkType::Number),
                (Kind::Struct, b"in_addr") if size() == Some(4) => return Some(NetworkType::Ipv4),
                (Kind::Struct, b"in6_addr") if size() == Some(16) => return Some(NetworkType::Ipv6),
                (kind, _) if kind.is_modifier_or_typedef() => id = ty.referred(),
                _ => return None,
            }
        }
        None
    }
}

/// Decodes a value of such a type, with the name of the member, from the bytes that begin with it.
pub(super) fn decode<'a>(network: NetworkType, size: usize, name: &[u8], bytes: &[u8]) -> Value<'a> {
    let Some(bytes) = bytes.get(..size) else { return Value::Missing };
    match (network, <[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (NetworkType::Ipv6, _, Ok(bytes)) => Value::Address(IpAddr::V6(Ipv6Addr::from(bytes))),
        (NetworkType::Ipv4, Ok(bytes), _) => Value::Address(IpAddr::V4(Ipv4Addr::from(bytes))),
        (NetworkType::Number, Ok(bytes), _) if is_address(name) => Value::Address(IpAddr::V4(Ipv4Addr::from(bytes))),
        _ => Value::Unsigned(bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))),
    }
}

/// Returns whether the name of a member says that it is an address.
fn is_address(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    words.any(|word| {
        let word = word.to_ascii_lowercase();
        word.windows(4).any(|part| part == b"addr") || matches!(word.as_slice(), b"ip" | b"ip4" | b"ipv4")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_is_an_address_by_its_name() {
        for name in ["addr", "saddr", "s_addr", "daddr_v4", "src_ip", "IP", "ip4_src", "rcv_saddr"] {
            assert!(is_address(name.as_bytes()), "{name}");
        }
        for name in ["", "seq", "zip", "ship_id", "spi", "ip6", "mask"] {
            assert!(!is_address(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn bytes_are_read_in_network_order() {
        let decode = |network, size, name: &str| decode(network, size, name.as_bytes(), &[1, 2, 3, 4]);
        assert_eq!(decode(NetworkType::Number, 2, "port"), Value::Unsigned(0x0102));
        assert_eq!(decode(NetworkType::Number, 4, "seq"), Value::Unsigned(0x0102_0304));
        assert_eq!(decode(NetworkType::Number, 4, "saddr").to_string(), "1.2.3.4");
        assert_eq!(decode(NetworkType::Ipv4, 4, "").to_string(), "1.2.3.4");
        assert_eq!(decode(NetworkType::Ipv6, 16, ""), Value::Missing);
        assert_eq!(decode(NetworkType::Number, 8, "saddr"), Value::Missing);
    }
}
