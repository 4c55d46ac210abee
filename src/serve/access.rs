//! Access: on this machine, pages of this server alone may ask; beyond it, whoever has the token.
//!
//! A browser sends requests to addresses of this machine for any page it shows. Two things keep such pages out: the
//! `Host` header must name this machine (a page that rebinds its own name has that name there), and what changes
//! something needs a header of its own, which a page of another origin cannot send unasked.

use super::request::{Method, Request};
use super::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The environment's token.
const VARIABLE: &str = "FIELDTUNE_TOKEN";

/// The header of requests that change something.
const OWN_HEADER: &str = "x-fieldtune";

const COOKIE: &str = "fieldtune";

/// Fewer characters could be guessed.
const SHORTEST: usize = 16;

#[derive(Clone, Debug)]
pub struct Access {
    /// Asked for beyond this machine, and wherever the environment names one.
    token: Option<String>,
}

/// The programs that may send requests, by what a request that changes something must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    Pages,
    /// Other programs, whose requests change nothing.
    Programs,
}

impl Access {
    /// For a server at `address`: with the token of the environment, or beyond this machine a random one.
    ///
    /// # Errors
    /// If the environment's token is short or has odd characters, or there is no randomness.
    pub fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let given = std::env::var(VARIABLE).ok().filter(|token| !token.is_empty());
        if let Some(token) = &given
            && !(token.len() >= SHORTEST && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
        {
            anyhow::bail!("{VARIABLE}: expected at least {SHORTEST} letters, digits, - _ or .");
        }
        match given {
            None if !address.ip().is_loopback() => Ok(Self { token: Some(random()?) }),
            token => Ok(Self { token }),
        }
    }

    /// The address with the token, for a person.
    pub fn url(&self, address: SocketAddr) -> String {
        match &self.token {
            Some(token) => format!("http://{address}/?token={token}"),
            None => format!("http://{address}/"),
        }
    }

    /// # Errors
    /// The answer in place of the one asked for.
    pub fn judge(&self, request: &Request, callers: Callers) -> Result<(), Response> {
        match &self.token {
            Some(token) => self.judge_token(request, token)?,
            None if !is_this_machine(request.header("host")) => {
                return Err(Response::text(
                    403,
                    "only for pages of this machine: open it by its number or as localhost",
                ));
            }
            None => {}
        }
        if callers == Callers::Pages && request.method == Method::Post && request.header(OWN_HEADER).is_none() {
            return Err(Response::text(403, "the header X-Fieldtune is missing"));
        }
        Ok(())
    }

    fn judge_token(&self, request: &Request, token: &str) -> Result<(), Response> {
        let right = |given: &str| is_same(given.as_bytes(), token.as_bytes());
        let cookies = request.header("cookie").unwrap_or_default();
        let mut cookies = cookies.split(';').filter_map(|c| c.trim().split_once('='));
        if cookies.any(|(name, value)| name == COOKIE && right(value)) {
            return Ok(());
        }
        let header = request.header("authorization").and_then(|value| value.split_once(' '));
        match header {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && right(given.trim()) => return Ok(()),
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("basic") && right(&password(given)) => return Ok(()),
            _ => {}
        }
        if request.query("token").is_some_and(|given| right(&given)) {
            if request.method == Method::Get && request.path == "/" {
                // The page goes on by cookie: the token does not stay in the address bar and its history.
                let cookie = format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/");
                return Err(Response::text(303, "welcome").with("Location", "/").with("Set-Cookie", &cookie));
            }
            return Ok(());
        }
        let asked = Response::text(401, "a token is needed: open the address that the program has named");
        Err(asked.with("WWW-Authenticate", "Bearer"))
    }
}

/// The password of basic authentication; the name does not matter.
fn password(encoded: &str) -> String {
    let decoded = STANDARD.decode(encoded.trim()).unwrap_or_default();
    String::from_utf8_lossy(&decoded).split_once(':').map_or(String::new(), |(_, password)| password.into())
}

/// True if a `Host` header names this machine. Programs of HTTP/1.0 send none, browsers always do.
fn is_this_machine(host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// Takes as long wherever they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// 128 bits.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random token can be made: {e}"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass_without_a_token() {
        for host in ["localhost", "LOCALHOST:8070", "127.0.0.1:8070", "127.1.2.3", "[::1]:8070", "[::1]"] {
            assert!(is_this_machine(Some(host)), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:8070", "192.168.0.7", "127.0.0.1.evil.example", "::1:x"]
        {
            assert!(!is_this_machine(Some(host)), "{host}");
        }
        assert!(is_same(b"abc", b"abc") && !is_same(b"abc", b"abd") && !is_same(b"abc", b"ab"));
        assert_eq!([password("dXNlcjpzZWNyZXQ="), password("bm9uZQ=="), password("%")], ["secret", "", ""]);
        assert!(random().is_ok_and(|token| token.len() == 32 && random().is_ok_and(|other| other != token)));
    }
}
