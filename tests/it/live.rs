//! The live page of a run, its metrics and its notifications, against clients that are friendly and others.

use crate::runs::{basis, program, succeed, text, training};
use crate::web::{ask, get, press, raw, start};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A run that goes on for long, with its page on a free port.
fn long_run(out: &Path, more: &[&str]) -> (Child, SocketAddr, String) {
    let basis = basis();
    let mut arguments = training(&basis, out, &["--epochs", "500", "--batch", "2", "--threads", "1"]);
    arguments.extend(more);
    start(program(&arguments))
}

/// The status; a server whose places are all taken sends askers away, and they ask again.
fn status(address: SocketAddr) -> Value {
    let began = Instant::now();
    loop {
        let (code, body) = get(address, "/status.json");
        if code == 200 {
            return serde_json::from_str(&body).expect("JSON");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{code}: {body}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the status is as wanted.
fn wait_until(address: SocketAddr, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let now = status(address);
        if wanted(&now) {
            return now;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn step(status: &Value) -> u64 {
    status["step"].as_u64().expect("a count")
}

#[test]
fn a_run_is_paused_saved_resumed_and_stopped_from_its_page() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut child, address, _) = long_run(dir.path(), &["--serve", "127.0.0.1:0"]);
    wait_until(address, |s| step(s) >= 1);
    assert!(get(address, "/").1.contains("<title>Fieldtune</title>"));
    let metrics = get(address, "/metrics").1;
    // An epoch of a small set is over within milliseconds.
    let is = |state: &str| metrics.contains(&format!("\nfieldtune_run_state{{state=\"{state}\"}} 1\n"));
    assert!(is("training") || is("validating"), "{metrics}");
    assert!(metrics.contains("# TYPE fieldtune_steps_total counter\n"), "{metrics}");

    assert_eq!(press(address, "save"), 202);
    wait_until(address, |s| s["saved_step"].as_u64().is_some_and(|at| at >= 1));
    assert!(dir.path().join("run/weights/last.ckpt").is_file());

    assert_eq!(press(address, "pause"), 202);
    wait_until(address, |s| s["state"] == "paused");
    std::thread::sleep(Duration::from_secs(2));
    let at = step(&status(address));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(step(&status(address)), at, "nothing is trained during a pause");
    assert_eq!(press(address, "resume"), 202);
    wait_until(address, |s| step(s) > at);

    assert_eq!(press(address, "stop"), 202);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    assert!(!fs::read_to_string(dir.path().join("run/train.log")).expect("a log").contains("http://"));
}

#[test]
fn strangers_get_nothing_and_stop_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut child, address, _) = long_run(dir.path(), &["--serve", "127.0.0.1:0"]);
    wait_until(address, |s| step(s) >= 1);
    let run = dir.path().join("run");
    fs::write(dir.path().join("secret.txt"), "secret").expect("writes");
    fs::write(run.join("seen.txt"), "seen").expect("writes");
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("secret.txt"), run.join("link.txt")).expect("a link");
    assert_eq!(get(address, "/run/seen.txt"), (200, "seen".into()));
    for path in [
        "/run/../secret.txt",
        "/run/%2e%2e/secret.txt",
        "/run/..%2fsecret.txt",
        "/run//etc/passwd",
        "/run/link.txt",
        "/run/config.toml",
        "/run/train.log",
        "/run/weights/best.onnx",
        "/run/.lock",
        "/run/",
        "/run/weights",
        "/secret.txt",
        "/run/..",
        "//etc/passwd",
        "/run/seen.txt%00.png",
    ] {
        let (status, _) = get(address, path);
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    // Pages of elsewhere: another name for this machine, and buttons without the page's header.
    let foreign = format!("GET /status.json HTTP/1.1\r\nHost: evil.example:{}\r\n\r\n", address.port());
    assert_eq!(raw(address, foreign.as_bytes()).0, 403);
    assert_eq!(ask(address, "POST /stop", "Origin: http://evil.example\r\n", &[]).0, 403);
    assert_eq!(ask(address, "GET /stop", "X-Fieldtune: page\r\n", &[]).0, 404);
    assert_eq!(ask(address, "OPTIONS /stop", "", &[]).0, 405);
    for (request, answer) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40), 400),
        (b"GET / HTTP/1.1\r\nA: ".iter().copied().chain([b'x'; 20_000]).collect(), 431),
        (b"POST /stop HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_vec(), 400),
        (b"POST /stop HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n".to_vec(), 413),
        (b"POST /stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), 411),
    ] {
        let (status, head, _) = raw(address, &request);
        assert_eq!(status, answer, "{head}");
    }
    // Two hundred that say nothing: some wait, the others are sent away, and training goes on.
    let silent: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(address).ok()).collect();
    assert!(silent.len() >= 150, "{}", silent.len());
    #[cfg(target_os = "linux")]
    {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("a process").count();
        assert!(threads < 80, "{threads} threads");
    }
    let mut child_is_there = || child.try_wait().expect("a process").is_none();
    assert!(child_is_there());
    drop(silent);
    let at = step(&wait_until(address, |s| step(s) > 0));
    wait_until(address, |s| step(s) > at + 2);
    assert_eq!(press(address, "stop"), 202);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
}

#[test]
fn beyond_this_machine_a_token_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut child, address, url) = long_run(dir.path(), &["--serve", "0.0.0.0:0"]);
    let address = SocketAddr::new([127, 0, 0, 1].into(), address.port());
    let token = url.split_once("token=").expect("the address holds it").1;
    assert!(token.len() >= 32, "{token}");
    for path in ["/", "/status.json", "/metrics", "/events", "/?token=", "/?token=00000000000000000000000000000000"] {
        assert_eq!(get(address, path).0, 401, "{path}");
    }
    assert_eq!(press(address, "stop"), 401);
    let (status, head, _) = ask(address, &format!("GET /?token={token}"), "", &[]);
    assert!(status == 303 && head.contains("HttpOnly; SameSite=Strict"), "{head}");
    let cookie = format!("Cookie: other=1; fieldtune={token}\r\n");
    assert_eq!(ask(address, "GET /", &cookie, &[]).0, 200);
    assert_eq!(ask(address, "GET /metrics", &format!("Authorization: Bearer {token}\r\n"), &[]).0, 200);
    assert_eq!(ask(address, "POST /stop", &cookie, &[]).0, 403, "the page's header is asked for, too");
    let buttons = format!("{cookie}X-Fieldtune: page\r\n");
    let began = Instant::now();
    while ask(address, "POST /stop", &buttons, &[]).0 != 202 {
        assert!(began.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
}

/// Events until the other side closes or enough have come.
fn events(address: SocketAddr, count: usize) -> Vec<Value> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time limit");
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it is sent");
    let (mut all, mut piece) = (String::new(), [0; 4096]);
    let told = |all: &str| all.matches("\ndata: ").count();
    while told(&all) < count {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(n) => all.push_str(&String::from_utf8_lossy(&piece[..n])),
        }
    }
    all.lines().filter_map(|l| serde_json::from_str(l.strip_prefix("data: ")?).ok()).collect()
}

#[test]
fn pages_are_told_of_progress_and_of_the_end() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut child, address, _) = long_run(dir.path(), &["--serve", "127.0.0.1:0"]);
    wait_until(address, |s| step(s) >= 1);
    let told = events(address, 3);
    assert!(told.len() >= 2 && step(&told[0]) < step(&told[told.len() - 1]), "{told:?}");
    assert!(told.iter().all(|t| t["controls"] == true && t["run"] == "run"), "{told:?}");
    let last = std::thread::spawn(move || events(address, usize::MAX));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(press(address, "stop"), 202);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    let last = last.join().expect("it ends");
    assert_eq!(last.last().map(|t| t["state"].clone()), Some("stopped".into()), "{last:?}");
}

/// Takes notifications: the JSON of each.
fn listener() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut all, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                all.extend_from_slice(&piece[..count]);
                let at = all.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
                if let Some(value) = at.and_then(|at| serde_json::from_slice::<Value>(&all[at..]).ok()) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = sender.send(value);
                    break;
                }
            }
        }
    });
    (address, receiver)
}

#[test]
fn a_listener_hears_of_start_better_epochs_and_end_and_the_metrics_file_holds_the_end() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (address, messages) = listener();
    let (url, file) = (format!("http://{address}/hook"), dir.path().join("fieldtune.prom"));
    let basis = basis();
    let mut arguments = training(&basis, dir.path(), &["--epochs", "2", "--threads", "1", "--notify", &url]);
    arguments.extend(["--metrics-file", text(&file)]);
    succeed(&arguments);
    let all: Vec<Value> = messages.try_iter().collect();
    let names: Vec<&str> = all.iter().map(|m| m["event"].as_str().expect("a name")).collect();
    assert!(names.first() == Some(&"start") && names.last() == Some(&"end") && names.contains(&"best"), "{names:?}");
    assert!(all.iter().all(|m| m["run"] == "run" && m["epochs"] == 2), "{all:?}");
    let metrics = fs::read_to_string(&file).expect("metrics");
    assert!(metrics.contains("fieldtune_run_state{state=\"finished\"} 1\n"), "{metrics}");
}

#[test]
fn a_listener_that_never_answers_costs_messages_and_no_time() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut child, address, _) = long_run(dir.path(), &["--serve", "127.0.0.1:0", "--notify", &url]);
    let at = step(&wait_until(address, |s| step(s) >= 1));
    wait_until(address, |s| step(s) >= at + 3);
    assert_eq!(press(address, "stop"), 202);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
}
