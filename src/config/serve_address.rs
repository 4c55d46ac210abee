//! The address of a page: an address of this machine and a port.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// The port, where none is named.
const PORT: u16 = 8070;

/// An address to listen on. This machine alone reaches the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeAddress(pub SocketAddr);

impl Default for ServeAddress {
    fn default() -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT))
    }
}

impl FromStr for ServeAddress {
    type Err = String;

    /// `127.0.0.1:8070`, `[::1]:8070`, an address alone, or a port alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let default = Self::default().0;
        let port = || text.parse().ok().map(|port| SocketAddr::new(default.ip(), port));
        let address = || text.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, default.port()));
        let whole = text.parse().ok().or_else(port).or_else(address);
        whole.map(Self).ok_or_else(|| {
            format!(
                "expected ADDRESS:PORT, such as {default} (this machine alone) or 0.0.0.0:{PORT} (all that reach it)"
            )
        })
    }
}

impl fmt::Display for ServeAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ServeAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServeAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports_may_stand_alone() {
        for (text, whole) in [
            ("8080", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:8070"),
            ("[::1]", "[::1]:8070"),
            ("::1", "[::1]:8070"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(text.parse::<ServeAddress>().map(|a| a.to_string()), Ok(whole.to_string()), "{text}");
        }
        for text in ["", "photos", "70000", "localhost:80", "1.2.3.4:"] {
            assert!(text.parse::<ServeAddress>().is_err(), "{text}");
        }
    }
}
