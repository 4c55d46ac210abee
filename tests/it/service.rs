//! The service as systemd sees it: a notification socket, signals, and a folder where photos turn into a model.

#![cfg(unix)]

use crate::fleet_join::question_of;
use crate::fleet_node::start_arrays;
use crate::runs::{basis, copy_run, executable, succeed, text};
use crate::superlink::FakeSuperLink;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// For anything that is waited for here; a busy machine is slow.
const LONGEST: Duration = Duration::from_secs(240);

/// A state folder with a job file, and the end of the socket that systemd would hold.
struct Place {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Place {
    fn new(job: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
        let job = format!("threads = 1\ncheckpoint_every_s = 0\n{job}\n[service]\npoll_s = 1\nsettle_s = 1\n");
        fs::write(dir.path().join("job.toml"), job).expect("a job file");
        fs::create_dir(dir.path().join("state")).expect("a folder");
        Self { dir, socket }
    }

    fn state(&self, path: &str) -> PathBuf {
        self.dir.path().join("state").join(path)
    }

    fn start(&self) -> Service<'_> {
        let child = executable()
            .args(["service", "--config", text(&self.dir.path().join("job.toml"))])
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"))
            .env("STATE_DIRECTORY", self.dir.path().join("state"))
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("FIELDTUNE_WEIGHTS")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stderr(fs::File::create(self.dir.path().join("log")).expect("a log file"))
            .spawn()
            .expect("the program starts");
        Service { place: self, child, said: Vec::new(), pings: Vec::new() }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn give_weights(&self) {
        fs::copy(&basis()[1], self.state("weights.onnx")).expect("copies");
    }

    fn give_photos(&self) {
        copy_run(Path::new(&basis()[0]), &self.state("inbox/photos"));
    }
}

/// A running service and what it told.
struct Service<'a> {
    place: &'a Place,
    child: Child,
    said: Vec<String>,
    pings: Vec<Instant>,
}

impl Service<'_> {
    /// Takes in one datagram, if one comes soon.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        let Ok(length) = self.place.socket.recv(&mut buffer) else { return };
        for line in String::from_utf8_lossy(&buffer[..length]).lines() {
            match line {
                "WATCHDOG=1" => self.pings.push(Instant::now()),
                line => self.said.push(line.to_string()),
            }
        }
    }

    /// Listens until something that it said has `part` in it.
    fn wait_for(&mut self, part: &str) {
        let began = Instant::now();
        while !self.said.iter().any(|line| line.contains(part)) {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                began.elapsed() < LONGEST && ended.is_none(),
                "waited for {part:?}, ended: {ended:?}\n{:?}\n{}",
                self.said,
                self.place.log()
            );
            self.listen();
        }
    }

    fn wait_for_file(&mut self, path: &Path) {
        let began = Instant::now();
        while !path.exists() {
            assert!(began.elapsed() < LONGEST, "{}\n{:?}\n{}", path.display(), self.said, self.place.log());
            self.listen();
        }
    }

    /// SIGTERM, and what comes of it.
    fn stop(mut self) -> (ExitStatus, Vec<String>) {
        signal(&self.child, libc::SIGTERM);
        let status = self.child.wait().expect("it ends");
        while self.said.last().is_none_or(|l| !l.contains("never said")) {
            let before = self.said.len() + self.pings.len();
            self.listen();
            if self.said.len() + self.pings.len() == before {
                break;
            }
        }
        (status, std::mem::take(&mut self.said))
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // Gone already, most often.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process number");
    // SAFETY: the process is our own child and has not been waited for.
    unsafe { libc::kill(pid, signal) };
}

const FRESH: &str = "[recipe]\nepochs = 3\nfreeze = 0\nbackbone_rate = 1.0\nwarmup = 2\nema = 0.9\n";

#[test]
fn photos_that_arrive_become_a_model_and_other_photos_another() {
    let place = Place::new(FRESH);
    let mut service = place.start();
    service.wait_for("READY=1");
    service.wait_for("STATUS=waiting for pretrained weights");
    assert!(service.said.iter().any(|l| l.contains("state/weights.onnx")), "{:?}", service.said);
    place.give_weights();
    service.wait_for("STATUS=waiting for labelled photos in");
    place.give_photos();
    service.wait_for("STATUS=done");
    for name in ["best.onnx", "labels.txt", "result.txt", "runs/photos-1/weights/last.ckpt"] {
        assert!(place.state(name).exists(), "{name}");
    }
    let result = fs::read_to_string(place.state("result.txt")).expect("an account");
    assert!(result.contains("AP: ") && result.contains("epochs: 3"), "{result}");
    let hidden = fs::read_dir(place.state("")).expect("a folder").flatten().map(|e| e.file_name());
    let hidden: Vec<_> = hidden.filter(|name| name.as_encoded_bytes().starts_with(b".")).collect();
    assert_eq!(hidden, [".lock"], "no temporary file is left");

    // A photo less is another inbox.
    fs::remove_file(place.state("best.onnx")).expect("removed");
    service.said.clear();
    let label = "inbox/photos/Annotations/scene_00001.xml";
    fs::remove_file(place.state(label)).expect("removed");
    service.wait_for("STATUS=done");
    assert!(place.state("best.onnx").exists() && place.state("runs/photos-2").exists());
    assert!(!place.state("runs/photos-1/photos.pack").exists(), "what an earlier run does not need is gone");

    let gaps: Vec<Duration> = service.pings.windows(2).map(|p| p[1] - p[0]).collect();
    assert!(gaps.len() > 3, "the watchdog is fed: {gaps:?}");
    assert!(gaps.iter().all(|g| *g < Duration::from_secs(20)), "{gaps:?}");
    let (status, said) = service.stop();
    assert_eq!(status.code(), Some(0), "{}", place.log());
    assert!(said.iter().any(|l| l == "STOPPING=1"), "{said:?}");

    // Nothing new: a service that starts again does not train again.
    let mut service = place.start();
    service.wait_for("STATUS=done");
    assert!(!service.said.iter().any(|l| l.contains("training")), "{:?}", service.said);
}

#[test]
fn weights_kept_in_the_state_folder_are_started_from() {
    let place = Place::new(&format!("watchdog = \"off\"\n{}", FRESH.replace("epochs = 3", "epochs = 50000")));
    place.give_photos();
    let mut service = place.start();
    service.wait_for("STATUS=waiting for pretrained weights");
    let folder = place.state("weights");
    let hint = format!("fieldtune weights add FILE --folder {}", folder.display());
    assert!(service.said.iter().any(|l| l.contains(&hint)), "{:?}", service.said);
    succeed(&["weights", "add", &basis()[1], "--name", "start", "--folder", text(&folder)]);
    service.wait_for("STATUS=training photos-1");
    let job = fs::read_to_string(place.state("runs/photos-1/config.toml")).expect("a job");
    assert!(job.contains("state/weights/start.onnx"), "{job}");
    assert_eq!(service.stop().0.code(), Some(0), "{}", place.log());
}

#[test]
fn whatever_ends_the_service_it_goes_on_where_it_was() {
    // Never done, however fast the machine is, and nobody ends it for learning nothing.
    let place = Place::new(&format!("watchdog = \"off\"\n{}", FRESH.replace("epochs = 3", "epochs = 50000")));
    place.give_weights();
    place.give_photos();
    let mut service = place.start();
    let last = place.state("runs/photos-1/weights/last.ckpt");
    service.wait_for("STATUS=training photos-1");
    service.wait_for_file(&last);
    let (status, said) = service.stop();
    assert_eq!(status.code(), Some(0), "{}", place.log());
    assert!(said.iter().any(|l| l == "STOPPING=1") && said.iter().any(|l| l.starts_with("EXTEND_TIMEOUT_USEC=")));
    assert!(place.log().contains("stopped at step"), "{}", place.log());

    let mut service = place.start();
    service.wait_for("STATUS=going on with photos-1");
    service.wait_for("STATUS=training photos-1");
    signal(&service.child, libc::SIGKILL);
    service.child.wait().expect("it is gone");
    drop(service);

    // Torn by what ended it: the checkpoint before is sound.
    let torn = fs::read(&last).expect("a checkpoint");
    fs::write(&last, &torn[..torn.len() / 2]).expect("writes");
    fs::write(place.state("runs/photos-1/weights/.best.onnx.1.tmp"), "torn").expect("writes");
    // Photos that arrive meanwhile do not disturb the run.
    fs::remove_file(place.state("inbox/photos/Annotations/scene_00001.xml")).expect("removed");
    let mut service = place.start();
    service.wait_for("STATUS=going on with photos-1");
    service.wait_for("STATUS=training photos-1");
    assert!(place.log().contains("is kept as abandoned.ckpt"), "{}", place.log());
    assert!(!place.state("runs/photos-1/weights/.best.onnx.1.tmp").exists());
    assert_eq!(service.stop().0.code(), Some(0));
}

#[test]
fn a_failed_run_is_told_and_tried_again_only_with_other_inputs() {
    let place = Place::new(FRESH);
    fs::write(place.state("weights.onnx"), "no model").expect("writes");
    place.give_photos();
    let mut service = place.start();
    service.wait_for("STATUS=failed: ");
    assert!(service.said.iter().any(|l| l.contains("weights.onnx")), "{:?}", service.said);
    let runs = || fs::read_dir(place.state("runs")).expect("a folder").count();
    let before = runs();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(runs(), before, "it is not tried over and over");
    place.give_weights();
    service.wait_for("STATUS=done");
    assert_eq!(service.stop().0.code(), Some(0));
}

#[test]
fn a_job_that_cannot_be_read_ends_the_service() {
    for (job, said) in [
        ("[recipe]\nepoch = 3\n", "unknown field `epoch`"),
        ("[recipe]\nbatch = 0\n", "recipe: batch"),
        ("board = \"rpi6\"\n", "board = \"rpi6\", expected auto"),
    ] {
        let place = Place::new(job);
        let mut service = place.start();
        // systemd does not try this again, and tells whoever asks for the status what is wrong.
        assert_eq!(service.child.wait().expect("it ends").code(), Some(2), "{}", place.log());
        assert!(place.log().contains(said), "{}", place.log());
        service.listen();
        let [status] = &service.said[..] else { panic!("{:?}", service.said) };
        assert!(status.starts_with("STATUS=failed: ") && status.contains(said), "{status}");
        assert!(status.contains("job.toml"), "{status}");
    }
}

/// Waits for something that the server has seen.
fn wait_for_server(service: &mut Service, server: &FakeSuperLink, seen: impl Fn(&FakeSuperLink) -> bool) {
    let began = Instant::now();
    while !seen(server) {
        assert!(began.elapsed() < LONGEST, "{:?}\n{}", service.said, service.place.log());
        service.listen();
    }
}

#[test]
fn as_a_node_of_a_fleet_it_trains_when_asked_and_joins_anew_with_other_photos() {
    let server = FakeSuperLink::start();
    let address = server.address.to_string();
    let place = Place::new(&format!("imgsz = 96\n[fleet]\nsuperlink = {address:?}\ninsecure = true\npoll_s = 0.1"));
    place.give_weights();
    place.give_photos();
    let mut service = place.start();
    service.wait_for(&format!("a node of the fleet at {address}"));
    wait_for_server(&mut service, &server, |s| s.state().heard.get("pull-messages").is_some_and(|n| *n > 0));
    let arrays = start_arrays(&place.state("fleet"));
    server.state().questions.push_back(question_of("train", &arrays, &Default::default()));
    wait_for_server(&mut service, &server, |s| !s.state().answers.is_empty());
    assert_eq!(server.state().answers[0].error, None, "{}", place.log());
    assert!(!service.pings.is_empty(), "it gives signs of life while it is a node");

    let photo = fs::read_dir(place.state("inbox/photos/JPEGImages")).expect("photos").flatten().next().expect("one");
    fs::copy(photo.path(), place.state("inbox/photos/JPEGImages/another.jpg")).expect("copies");
    wait_for_server(&mut service, &server, |s| s.state().heard.get("activate-node").is_some_and(|n| *n > 1));
    let (status, _) = service.stop();
    assert_eq!(status.code(), Some(0), "{}", place.log());
    assert!(place.log().contains("the photos have changed: leaving the fleet"), "{}", place.log());
    assert!(server.state().heard["deactivate-node"] >= 2);
}

#[test]
fn a_fleet_without_a_server_ends_the_service() {
    let place = Place::new("[fleet]\ninsecure = true");
    let mut service = place.start();
    let status = service.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(2), "{}", place.log());
    assert!(place.log().contains("[fleet]: no superlink, expected HOST:PORT"), "{}", place.log());
}
