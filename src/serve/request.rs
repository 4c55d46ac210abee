//! HTTP requests, read within bounds of size and time (RFC 9112). One request a connection.

use percent_encoding::percent_decode_str;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of the request line and all headers.
const MOST_HEAD: usize = 8 << 10;
const MOST_HEADERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
}

/// A request, decoded.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Percent escapes decoded; begins with `/`.
    pub path: String,
    query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The reason that there is no request, as a status of HTTP; `None` where nobody is left to be answered.
pub type RequestRefusal = Option<(u16, &'static str)>;

impl Request {
    /// A header's value; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(n, _)| *n == name)?.1;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }

    /// Reads a request with a body of at most `most_body` bytes; all of it must have come by the time `patience` ends.
    ///
    /// # Errors
    /// If it is malformed, too large or too slow, or the other side has gone.
    pub fn read(stream: &mut TcpStream, most_body: usize, patience: Duration) -> Result<Self, RequestRefusal> {
        let until = Instant::now() + patience;
        let mut bytes = Vec::with_capacity(1024);
        let (mut request, head) = loop {
            if let Some(found) = parse(&bytes)? {
                break found;
            }
            if bytes.len() >= MOST_HEAD {
                return Err(Some((431, "the head of the request is too long")));
            }
            more(stream, &mut bytes, until)?;
        };
        if request.header("transfer-encoding").is_some() {
            return Err(Some((411, "send a Content-Length")));
        }
        let length = match request.header("content-length") {
            None => 0,
            Some(text) => text.trim().parse::<usize>().map_err(|_| Some((400, "Content-Length is not a number")))?,
        };
        if length > most_body {
            return Err(Some((413, "the body is too large")));
        }
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            io::Write::write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| None)?;
        }
        request.body = bytes.split_off(head);
        while request.body.len() < length {
            more(stream, &mut request.body, until)?;
        }
        request.body.truncate(length);
        Ok(request)
    }
}

/// Reads what has come.
fn more(stream: &mut TcpStream, into: &mut Vec<u8>, until: Instant) -> Result<(), RequestRefusal> {
    let mut piece = [0; 4096];
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
        return Err(Some((408, "the request came too slowly")));
    }
    match stream.read(&mut piece) {
        Ok(0) => Err(None),
        Ok(count) => {
            into.extend_from_slice(&piece[..count]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Some((408, "the request came too slowly")))
        }
        Err(_) => Err(None),
    }
}

/// The request and the length of its head; `None` while the head is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, RequestRefusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let malformed = |_| Some((400, "this is no HTTP request"));
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(malformed)? else { return Ok(None) };
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => return Err(Some((405, "only GET, HEAD and POST"))),
    };
    let (path, query) = parsed.path.unwrap_or("/").split_once('?').unwrap_or((parsed.path.unwrap_or("/"), ""));
    let path = percent_decode_str(path).decode_utf8().map_err(|_| Some((400, "the path is not UTF-8")))?;
    if !path.starts_with('/') || path.contains(char::is_control) {
        return Err(Some((400, "a path begins with a slash")));
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
    let (path, query) = (path.into_owned(), query.to_string());
    Ok(Some((Request { method, path, query, headers, body: Vec::new() }, head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_decoded_and_what_is_no_request_is_refused() {
        let head = b"POST /a%20b?token=x%2By&n=1 HTTP/1.1\r\nHost: here\r\nX-Odd:  1 \r\n\r\nbody";
        let (request, length) = parse(head).unwrap().expect("it is whole");
        assert_eq!((request.method, request.path.as_str(), length), (Method::Post, "/a b", head.len() - 4));
        assert_eq!((request.query("token").as_deref(), request.query("none")), (Some("x+y"), None));
        assert_eq!((request.header("host"), request.header("x-odd")), (Some("here"), Some("1")));
        assert!(parse(b"GET / HTTP/1.1\r\nHost").unwrap().is_none());
        for (bytes, status) in [
            (&b"\x16\x03\x01\x02\0\x01"[..], 400),
            (b"GET /%ff HTTP/1.1\r\n\r\n", 400),
            (b"GET /%0a HTTP/1.1\r\n\r\n", 400),
            (b"DELETE / HTTP/1.1\r\n\r\n", 405),
            (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ] {
            assert_eq!(parse(bytes).expect_err("refused").map(|(status, _)| status), Some(status));
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert!(parse(many.as_bytes()).is_err());
    }
}
