//! HTTP responses. The connection is closed after each.

use super::request::Method;
use serde_json::Value;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest time in which nothing of a response is taken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pages have the scripts, styles and pictures of this server, and talk to it alone.
const POLICY: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; \
frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    kind: &'static str,
    body: Vec<u8>,
    policy: &'static str,
    /// Whole header lines of its own.
    more: String,
}

impl Response {
    pub fn new(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, kind, body: body.into(), policy: POLICY, more: String::new() }
    }

    pub fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", format!("{value}\n"))
    }

    pub fn not_found() -> Self {
        Self::text(404, "not found")
    }

    /// With another content security policy.
    #[must_use]
    pub fn under(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }

    /// With a header line more; neither part holds anything from outside that was not checked.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.more.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Writes it; for `HEAD` without the body.
    ///
    /// # Errors
    /// If the other side has gone or takes nothing.
    pub fn write(&self, stream: &mut TcpStream, method: Method) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: {}\r\n{}\r\n",
            self.status,
            reason(self.status),
            self.kind,
            self.body.len(),
            self.policy,
            self.more
        );
        stream.write_all(head.as_bytes())?;
        if method != Method::Head {
            stream.write_all(&self.body)?;
        }
        stream.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
