//! A federation with Flower's own SuperLink and the server app of the documentation, where Flower is installed.

use crate::flower::Flower;
use crate::runs::{basis, executable, program, text};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Arguments of a node in a folder.
fn joining<'a>(basis: &'a [String; 2], folder: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let [photos, weights] = basis;
    let mut all = vec!["fleet", "join", photos, "--weights", weights, "--out", text(folder), "--threads", "1"];
    all.extend(more);
    all
}

fn node(home: &Path, name: &str, arguments: &[&str]) -> Process {
    let log = File::create(home.join(name).with_extension("log")).expect("a file");
    let mut command: Command = executable();
    command.args(arguments).env("RUST_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Process(command.spawn().expect("it starts"))
}

#[test]
fn nodes_of_both_kinds_train_one_detector() {
    let home = tempfile::tempdir().expect("a folder");
    let Some(mut flower) = Flower::find(home.path()) else { return };
    let basis = basis();
    // The start that the server sends, from a node that sends nothing.
    let (first, leaves) = (home.path().join("first"), home.path().join("leaves.json"));
    let output = program(&joining(&basis, &first, &["--dry-run", text(&leaves)])).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&leaves).expect("a list")).expect("JSON");
    assert!(told["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{told}");
    assert!(!told.to_string().contains("photos"), "no place of the board leaves it");

    flower.start(&[]);
    let address = flower.address();
    let second = home.path().join("second");
    let more = ["--superlink", &address, "--insecure", "--poll", "0.5"];
    let nodes = [&first, &second].map(|folder| {
        let name = folder.file_name().and_then(|n| n.to_str()).expect("a name");
        node(home.path(), name, &joining(&basis, folder, &more))
    });
    let mut python = flower.command("flower-supernode", "python.log");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    python.env("FLWR_HOME", home.path().join("python"));
    python.args(["--insecure", "--superlink", &address, "--port", &port.to_string()]);
    let python = Process(python.spawn().expect("it starts"));

    let (start, result) = (first.join("start.onnx"), home.path().join("fleet.onnx"));
    let config = format!("rounds=2 start='{}' result='{}' update='int8' min-nodes=3", text(&start), text(&result));
    let said = flower.run(&config, PATIENCE);
    let logs =
        || ["first.log", "second.log", "python.log", "superlink.log"].map(|log| flower.said(log)).join("\n---\n");
    assert!(said.contains("the trained detector is"), "{said}\n{}", logs());
    assert_eq!(said.matches("aggregate_train: Received 3 results and 0 failures").count(), 2, "{said}\n{}", logs());
    drop((nodes, python));

    // The average is a detector as any other, and another than the start.
    let judged = program(&["val", text(&result), &basis[0]]).output().expect("it starts");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    assert_ne!(fs::read(&start).expect("a file"), fs::read(&result).expect("a file"));
}
