//! Who asks, as far as the connection tells: the address behind trusted proxies, and its network.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;
use sluice_engine::verify::door::Crowd;

/// The other end of the connection; the listener puts it into every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

/// A network as limits see it: a /24 of IPv4, a /56 of IPv6. A household or a small firm has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u8; 7]),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        // An IPv4 address in IPv6 spelling is the same client.
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

impl Network {
    /// The network of a request that was let in. Only requests made inside this process come from nowhere.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<Self>().copied();
        known.unwrap_or_else(|| IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
    }
}

impl<S: Sync> FromRequestParts<S> for Network {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl From<Network> for Crowd {
    fn from(network: Network) -> Self {
        let bytes = match network {
            Network::V4([a, b, c]) => [4, 0, 0, 0, 0, a, b, c],
            Network::V6([a, b, c, d, e, f, g]) => [6, a, b, c, d, e, f, g],
        };
        Self(u64::from_be_bytes(bytes))
    }
}

/// The client's address. `X-Forwarded-For` counts only as far as proxies that the configuration names wrote it: read
/// from its end, the first address that is no such proxy is the client.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    if !is_trusted(peer) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
    let hops = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let mut client = peer;
    for hop in hops.rev() {
        // What is no address was not written by a proxy of ours; nothing before it can be believed.
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_wrote_counts() {
        let proxies = &["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], proxies), "203.0.113.9");
        assert_eq!(client("10.0.0.2", &["198.51.100.1"], &[]), "10.0.0.2");
        assert_eq!(client("10.0.0.2", &[], proxies), "10.0.0.2");
        assert_eq!(client("10.0.0.2", &["198.51.100.1"], proxies), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.2", &["198.51.100.1"], proxies), "198.51.100.1");
        // The client wrote the first address itself; our outer proxy the second.
        assert_eq!(client("10.0.0.2", &["192.0.2.66, 198.51.100.1, 10.0.0.3"], proxies), "198.51.100.1");
        assert_eq!(client("10.0.0.2", &["192.0.2.66", "198.51.100.1"], proxies), "198.51.100.1");
        assert_eq!(client("10.0.0.2", &["192.0.2.66, junk, 10.0.0.3"], proxies), "10.0.0.3");
    }

    #[test]
    fn a_network_is_a_24_or_a_56() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("203.0.113.9"), network("203.0.113.200"));
        assert_ne!(network("203.0.113.9"), network("203.0.114.9"));
        assert_eq!(network("203.0.113.9"), network("::ffff:203.0.113.10"));
        assert_eq!(network("2001:db8:0:100::1"), network("2001:db8:0:1ff::1"));
        assert_ne!(network("2001:db8:0:100::1"), network("2001:db8:0:200::1"));
        let crowds =
            ["203.0.113.9", "203.0.114.9", "::cb00:7100:0:0:0:0", "2001:db8:0:100::1", "2001:db8:0:200::1"];
        let crowds: HashSet<_> = crowds.iter().map(|text| Crowd::from(network(text))).collect();
        assert_eq!(crowds.len(), 5, "each network is a crowd of its own");
    }
}
