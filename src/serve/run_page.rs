//! The live page of a run: where it stands, its report, its pictures, and four buttons.

use super::access::{Access, Callers};
use super::events::Events;
use super::listener::ConnectionFate;
use super::live_run::{LiveRun, RunWish};
use super::metrics::{KIND, metrics};
use super::request::{Method, Request};
use super::response::Response;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

const PAGE: &str = include_str!("live.html");
const SCRIPT: &str = include_str!("live.js");
const STYLE: &str = include_str!("live.css");

/// Largest file that is shown.
const MOST_BYTES: u64 = 64 << 20;

/// A report runs no script and sends nothing, whoever made it: names in it come from files.
const REPORT_POLICY: &str = include_str!("report_policy.txt").trim_ascii();

/// Answers for one live run.
pub struct RunPage {
    pub live: Arc<LiveRun>,
    pub events: Arc<Events>,
    pub access: Access,
}

impl RunPage {
    pub fn answer(&self, request: &Request, stream: &TcpStream) -> ConnectionFate {
        if let Err(refusal) = self.access.judge(request, Callers::Pages) {
            return ConnectionFate::Response(refusal);
        }
        let response = match (request.method, request.path.as_str()) {
            (Method::Post, path) => self.wish(path),
            (Method::Get, "/events") => {
                if self.events.add(stream, &self.live) {
                    return ConnectionFate::HandedOn;
                }
                Response::text(503, "too many pages are open")
            }
            (_, "/") => Response::new(200, "text/html; charset=utf-8", PAGE),
            (_, "/live.js") => Response::new(200, "text/javascript; charset=utf-8", SCRIPT),
            (_, "/live.css") => Response::new(200, "text/css; charset=utf-8", STYLE),
            (_, "/status.json") => Response::json(200, &json!(self.live.status())),
            (_, "/metrics") => Response::new(200, KIND, metrics(&self.live.status(), Path::new("/"))),
            (_, path) => self.file(path).unwrap_or_else(Response::not_found),
        };
        ConnectionFate::Response(response)
    }

    fn wish(&self, path: &str) -> Response {
        let wish = match path {
            "/pause" => RunWish::Pause,
            "/resume" => RunWish::Resume,
            "/stop" => RunWish::Stop,
            "/save" => RunWish::Save,
            _ => return Response::not_found(),
        };
        match self.live.wish(wish) {
            true => Response::text(202, "asked for, it follows after the step under way"),
            false => Response::text(409, "no run is under way here"),
        }
    }

    /// `/run/NAME`: a file of the run folder itself.
    fn file(&self, path: &str) -> Option<Response> {
        let name = path.strip_prefix("/run/")?;
        let kind = kind_of(name)?;
        let bytes = read(&self.live.folder()?.join(name))?;
        let response = Response::new(200, kind, bytes);
        Some(if kind.starts_with("text/html") { response.under(REPORT_POLICY) } else { response })
    }
}

/// The files that may be shown, by name: no folders, nothing hidden, and neither settings nor weights.
fn kind_of(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.starts_with('.') || !name.chars().all(is_plain) {
        return None;
    }
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "png" => Some("image/png"),
        "jpg" => Some("image/jpeg"),
        "csv" => Some("text/csv; charset=utf-8"),
        "txt" => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

/// The content of a regular file; a link may lead out of the folder and is no such file.
fn read(path: &Path) -> Option<Vec<u8>> {
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).ok()?.take(MOST_BYTES + 1);
    file.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in ["report.html", "val_pred.png", "results.csv", "a-1.jpg", "story.txt"] {
            assert!(kind_of(name).is_some(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../report.html",
            "a/b.png",
            "/etc/passwd.txt",
            ".hidden.png",
            "config.toml",
            "best.onnx",
            "train.log",
            "a\\b.png",
            "a\0.png",
            "ä.png",
            "png",
        ] {
            assert!(kind_of(name).is_none(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_folders_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("b.txt")).unwrap();
        std::fs::create_dir(dir.path().join("c.txt")).unwrap();
        assert_eq!(read(&dir.path().join("a.txt")).as_deref(), Some(&b"inside"[..]));
        assert_eq!((read(&dir.path().join("b.txt")), read(&dir.path().join("c.txt"))), (None, None));
    }
}
