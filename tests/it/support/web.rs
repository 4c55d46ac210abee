//! A small HTTP client, and a program that serves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Status, head and body of a response to raw bytes; status 0 where the other side only closed.
pub fn raw(address: SocketAddr, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    // A server that refuses early may close before it has read all.
    let _ = stream.write_all(request);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let split = all.windows(4).position(|w| w == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&all[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head, all[split..].to_vec())
}

/// A request with these header lines and this body.
pub fn ask(address: SocketAddr, line: &str, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{headers}{length}\r\n");
    raw(address, &[head.as_bytes(), body].concat())
}

pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, &format!("GET {path}"), "", &[]);
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The request that the page's own buttons send.
pub fn press(address: SocketAddr, button: &str) -> u16 {
    ask(address, &format!("POST /{button}"), "X-Fieldtune: page\r\n", &[]).0
}

/// Starts a program that names its address on standard error; the rest of what it says is read by a thread.
pub fn start(mut command: Command) -> (Child, SocketAddr, String) {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("http://")).expect("it names its address");
    std::thread::spawn(move || lines.for_each(drop));
    let url = line.split(' ').find(|word| word.starts_with("http://")).expect("an address").to_string();
    let address = url["http://".len()..].split('/').next().expect("an address").parse().expect("numbers");
    (child, address, url)
}
