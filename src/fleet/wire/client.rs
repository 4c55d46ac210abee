//! Signed requests to a SuperLink, one at a time, with every answer bounded in size and time.

use super::error::WireError;
use super::key::NodeKey;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use prost::Message;
use serde::Deserialize;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Flower's media type.
const PROTOBUF: &str = "application/protobuf";

const CONNECT: Duration = Duration::from_secs(15);
/// Silence in which the other side counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest a request may take, a large object over a slow line included.
const WHOLE: Duration = Duration::from_secs(600);

/// Bytes of a refusal that are read.
const LONGEST_REFUSAL: u64 = 64 << 10;

/// Longest part of a refusal that is shown, in characters.
const LONGEST_DETAIL: usize = 300;

/// Bytes of a file of certificates.
const LONGEST_CERTIFICATES: u64 = 4 << 20;

/// Bytes that a head takes, about: addresses, key, signature, time. Counted, as they are most of a poll.
const REQUEST_HEAD: u64 = 620;
const ANSWER_HEAD: u64 = 150;

/// The address of a SuperLink, and how it proves its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `HOST:PORT`.
    pub server: String,
    /// Authorities to trust, as a PEM file; `None` for those that browsers trust.
    pub root_certificates: Option<PathBuf>,
    /// Without encryption.
    pub insecure: bool,
}

/// A connection to a SuperLink.
pub struct Client {
    agent: ureq::Agent,
    server: String,
    base: String,
    key: NodeKey,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The body of Flower's refusals, and of those of the HTTP server below it.
#[derive(Default, Deserialize)]
struct RefusalBody {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    detail: serde_json::Value,
}

impl Connection {
    /// # Errors
    /// If the address is none.
    fn base(&self) -> Result<String> {
        let scheme = if self.insecure { "http" } else { "https" };
        let base = format!("{scheme}://{}", self.server);
        let uri = base.parse::<ureq::http::Uri>().ok();
        let is_address = |uri: &ureq::http::Uri| {
            uri.path() == "/"
                && uri.query().is_none()
                && uri.port_u16().is_some()
                && uri.host().is_some_and(|h| !h.is_empty())
        };
        if self.server.contains("://") || !uri.as_ref().is_some_and(is_address) {
            bail!(
                "--superlink {}: no address, expected HOST:PORT such as 192.168.1.10:8000\nhelp: the port is that of \
                 `flower-superlink --port`, 8000 unless it says otherwise",
                self.server
            );
        }
        Ok(base)
    }

    fn tls(&self) -> Result<TlsConfig> {
        let Some(path) = &self.root_certificates else { return Ok(TlsConfig::builder().build()) };
        if self.insecure {
            bail!("--root-certificates makes no sense with --insecure\nhelp: leave one of them out");
        }
        let mut pem = Vec::new();
        let file = std::fs::File::open(path).with_context(|| format!("{}: cannot open", path.display()))?;
        file.take(LONGEST_CERTIFICATES)
            .read_to_end(&mut pem)
            .with_context(|| format!("{}: cannot read", path.display()))?;
        let certificates: Vec<Certificate> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            bail!(
                "{}: no certificate in it, expected a PEM file with -----BEGIN CERTIFICATE-----\nhelp: name the file that \
                 `flower-superlink --ssl-ca-certfile` has",
                path.display()
            );
        }
        Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
    }
}

impl Client {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// If the address or the certificates make no sense.
    pub fn new(connection: &Connection, key: NodeKey) -> Result<Self> {
        let base = connection.base()?;
        let config = ureq::Agent::config_builder()
            .tls_config(connection.tls()?)
            .https_only(!connection.insecure)
            .timeout_global(Some(WHOLE))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Ok(Self {
            agent: ureq::Agent::new_with_config(config),
            server: connection.server.clone(),
            base,
            key,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn public_key(&self) -> &[u8] {
        self.key.public_pem().as_bytes()
    }

    /// Bytes sent and received so far, heads about.
    pub fn traffic(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// Sends a request to the Fleet API and reads its answer of at most `most` bytes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn call<A: Message + Default>(
        &self,
        request: &'static str,
        message: &impl Message,
        most: u64,
    ) -> Result<A, WireError> {
        // Python reads times to the microsecond, and a zone in figures.
        let time = format!("{:.6}", Timestamp::now());
        let time = format!("{}+00:00", time.trim_end_matches('Z'));
        let body = message.encode_to_vec();
        let asked = self
            .agent
            .post(format!("{}/v1/fleet/{request}", self.base))
            .header("content-type", PROTOBUF)
            .header("accept", PROTOBUF)
            .header("flwr-public-key", self.key.public_header())
            .header("flwr-signature", self.key.sign(&time))
            .header("flwr-timestamp", &time)
            .send(&body[..]);
        self.sent.fetch_add(REQUEST_HEAD + body.len() as u64, Ordering::Relaxed);
        let mut answer = asked.map_err(|error| self.unreached(&error))?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(self.refusal(request, status, answer));
        }
        let bytes = answer.body_mut().with_config().limit(most).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                self.malformed(request, format!("an answer of more than {most} bytes"), "a shorter one")
            }
            error => self.unreached(&error),
        })?;
        self.received.fetch_add(ANSWER_HEAD + bytes.len() as u64, Ordering::Relaxed);
        A::decode(&bytes[..])
            .map_err(|error| self.malformed(request, format!("no Protocol Buffers ({error})"), "Flower's Fleet API"))
    }

    fn unreached(&self, error: &ureq::Error) -> WireError {
        let (server, reason) = (self.server.clone(), error.to_string());
        // A handshake that failed comes as an input error that wraps rustls's.
        if reason.contains("certificate") || matches!(error, ureq::Error::Rustls(_) | ureq::Error::Tls(_)) {
            return WireError::Certificate { server, reason };
        }
        WireError::Unreachable { server, reason }
    }

    /// The meaning of an answer other than 200.
    fn refusal(&self, request: &'static str, status: u16, mut answer: ureq::http::Response<ureq::Body>) -> WireError {
        let server = self.server.clone();
        if status == 401 {
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
            let theirs = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
            let ahead_s = theirs.map(|theirs| Timestamp::now().as_second().saturating_sub(theirs.as_second()));
            return WireError::Unauthorised { server, ahead_s };
        }
        if matches!(status, 429 | 500 | 502..=504) {
            return WireError::Unavailable { server, status };
        }
        let body = answer.body_mut().with_config().limit(LONGEST_REFUSAL).read_to_vec().unwrap_or_default();
        let refusal: RefusalBody = serde_json::from_slice(&body).unwrap_or_default();
        let detail = match &refusal.detail {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "no reason given".into(),
            other => other.to_string(),
        };
        let detail = detail.chars().take(LONGEST_DETAIL).collect();
        WireError::Refused { server, request, status, code: refusal.code, detail }
    }

    /// An answer that makes no sense.
    pub fn malformed(&self, request: &'static str, found: String, expected: &str) -> WireError {
        WireError::Malformed { server: self.server.clone(), request, found, expected: expected.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        let connection = |server: &str| Connection { server: server.into(), root_certificates: None, insecure: true };
        for server in ["localhost:8000", "192.168.1.10:8000", "[::1]:8000"] {
            assert!(connection(server).base().is_ok(), "{server}");
        }
        for server in
            ["localhost", "http://localhost:8000", "localhost:8000/v1", "", ":8000", "a b:1", "h:99999", "h:1?x"]
        {
            let error = connection(server).base().expect_err(server).to_string();
            assert!(error.contains("expected HOST:PORT"), "{error}");
        }
    }
}
