//! Accepts connections: a bounded number of threads with small stacks, one request each.
//!
//! A connection above the bound is answered 503 and closed at once, so that however many come and however slow they
//! are, a few sleeping threads are all they cost.

use super::request::{Method, Request};
use super::response::Response;
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread.
const STACK: usize = 256 << 10;

/// Rest after the system refused a connection, such as for want of file descriptors.
const REST: Duration = Duration::from_millis(200);

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time.
    pub connections: usize,
    pub body_bytes: usize,
    /// Time in which the whole request must have come.
    pub patience: Duration,
}

/// The fate of a connection.
pub enum ConnectionFate {
    Response(Response),
    /// The connection was handed on to somebody who goes on writing.
    HandedOn,
}

/// Answers a request. The stream is for those who hand it on.
pub type Answering = dyn Fn(&Request, &TcpStream) -> ConnectionFate + Send + Sync;

/// Binds an address.
///
/// # Errors
/// If it is in use or not of this machine.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("{address}: another program listens there\nhelp: name another port, or 0 for a free one")
        }
        Err(error) => Err(error).with_context(|| format!("{address}: cannot listen there")),
    }
}

/// Answers connections from a thread of its own until the program ends.
///
/// # Errors
/// If no thread can be started.
pub fn listen(listener: TcpListener, bounds: Bounds, answering: Arc<Answering>) -> Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => take(stream, bounds, &answering, &open),
                Err(_) => thread::sleep(REST),
            }
        }
    };
    let started = thread::Builder::new().name("listener".into()).stack_size(STACK).spawn(accept);
    started.context("cannot start a thread").map(drop)
}

/// One connection fewer when it goes.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take(mut stream: TcpStream, bounds: Bounds, answering: &Arc<Answering>, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::Relaxed) >= bounds.connections {
        open.fetch_sub(1, Ordering::Relaxed);
        let _ = stream.set_nonblocking(true);
        let _ = stream.write_all(
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
        );
        return;
    }
    let (open, answering) = (Open(Arc::clone(open)), Arc::clone(answering));
    let converse = move || {
        let _open = open;
        converse(stream, bounds, &*answering);
    };
    // The connection is closed if no thread can be had.
    let _ = thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(converse);
}

fn converse(mut stream: TcpStream, bounds: Bounds, answering: &Answering) {
    let (answer, method) = match Request::read(&mut stream, bounds.body_bytes, bounds.patience) {
        Ok(request) => (answering(&request, &stream), request.method),
        Err(Some((status, why))) => (ConnectionFate::Response(Response::text(status, why)), Method::Get),
        Err(None) => return,
    };
    let ConnectionFate::Response(response) = answer else { return };
    if response.write(&mut stream, method).is_ok() {
        close(&mut stream);
    }
}

/// Closes so that the response arrives: with bytes unread, closing at once would reset the connection.
fn close(stream: &mut TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut rest = [0; 4096];
    for _ in 0..16 {
        if !stream.read(&mut rest).is_ok_and(|count| count > 0) {
            break;
        }
    }
}
