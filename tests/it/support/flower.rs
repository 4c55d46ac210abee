//! Flower's own SuperLink, SuperNode and `flwr run` as processes, where they are installed.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The variable that names the Python of Flower's environment.
const VARIABLE: &str = "FIELDTUNE_FLWR_PYTHON";

/// Flower, in a home of its own.
pub struct Flower {
    bin: PathBuf,
    pub home: PathBuf,
    pub port: u16,
    superlink: Option<Child>,
}

impl Flower {
    /// `None` (said aloud) where Flower or onnx is not installed.
    pub fn find(home: &Path) -> Option<Self> {
        let python = std::env::var(VARIABLE).unwrap_or_else(|_| "python3".into());
        let mut asked = Command::new(&python);
        asked.args(["-c", "import flwr, onnx, sys; print(sys.prefix)"]).stderr(Stdio::null());
        let prefix = asked.output().ok().filter(|out| out.status.success());
        let Some(prefix) = prefix.and_then(|out| String::from_utf8(out.stdout).ok()) else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {python} has no flwr and onnx; {VARIABLE} names the Python of an environment that has them"
            );
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let flower = Self { bin: Path::new(prefix.trim()).join("bin"), home: home.into(), port, superlink: None };
        let config = format!(
            "[superlink]\ndefault = \"fleet\"\n\n[superlink.fleet]\naddress = \"127.0.0.1:{port}\"\ninsecure = true\n"
        );
        fs::write(home.join("config.toml"), config).expect("a file");
        Some(flower)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A program of Flower's, whose words go to a file of its name in the home.
    pub fn command(&self, name: &str, log: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        let log = File::create(self.home.join(log)).expect("a file");
        command.stdout(log.try_clone().expect("a file")).stderr(log).stdin(Stdio::null());
        // The apps that it starts are found on the path.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.bin.display()));
        command.env("FLWR_HOME", &self.home).env("FLWR_TELEMETRY_ENABLED", "0");
        command
    }

    /// Starts the SuperLink and waits until it listens.
    pub fn start(&mut self, more: &[&str]) {
        let mut command = self.command("flower-superlink", "superlink.log");
        command.args(["--insecure", "--host", "127.0.0.1", "--port", &self.port.to_string()]);
        command.arg("--disable-runtime-dependency-installation").args(more);
        self.superlink = Some(command.spawn().expect("it starts"));
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(120), "{}", self.said("superlink.log"));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.superlink.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Runs the server app to its end and returns what it said; `config` are TOML pairs.
    pub fn run(&self, config: &str, patience: Duration) -> String {
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet/server_app");
        // Flower leaves files in an app's folder.
        let copy = self.home.join("app");
        crate::runs::copy_run(&app, &copy);
        let mut command = self.command("flwr", "run.log");
        command.args(["run", copy.to_str().expect("a plain path"), "fleet", "--stream", "--run-config", config]);
        let mut child = command.spawn().expect("it starts");
        let began = Instant::now();
        let done = |said: &str| said.contains("the trained detector is") || said.contains("Traceback");
        while !done(&self.said("run.log")) && began.elapsed() < patience {
            if child.try_wait().expect("its state").is_some_and(|status| !status.success()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        let _ = child.kill();
        let _ = child.wait();
        self.said("run.log")
    }

    pub fn said(&self, log: &str) -> String {
        fs::read_to_string(self.home.join(log)).unwrap_or_default()
    }
}

impl Drop for Flower {
    fn drop(&mut self) {
        self.stop();
    }
}
