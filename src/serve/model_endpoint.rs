//! `fieldtune serve-model`: a photo in, its objects out, for programs that have no decoder of their own.
//!
//! One thread, the caller's, looks at photos, one after the other: the network uses all cores already. Connections wait
//! for it in a short queue; beyond that they are told to come again.

use super::access::{Access, Callers};
use super::label_studio::{PhotoFindings, PhotoStore, predictions};
use super::listener::{Bounds, ConnectionFate, bind, listen};
use super::request::{Method, Request};
use super::response::Response;
use crate::config::ServeAddress;
use crate::data::Photo;
use crate::eval::Detection;
use crate::predict::{Finder, SearchedPicture};
use crate::session::terminal;
use anyhow::{Context, Result, anyhow, bail};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Photos of some megabytes from eight callers at a time.
const BOUNDS: Bounds = Bounds { connections: 8, body_bytes: 32 << 20, patience: Duration::from_secs(30) };

/// Photos that wait.
const WAITING: usize = 4;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a wait goes on before looking whether to stop.
const SLICE: Duration = Duration::from_millis(200);

const USAGE: &str = "POST a JPEG, PNG, BMP, WebP or TIFF to /detect: objects come back as JSON.\n\
Label Studio connects to this address as to a machine learning backend.";

#[derive(Clone, Debug)]
pub struct EndpointOptions {
    pub address: ServeAddress,
    pub label_studio: Option<String>,
    pub photos: Option<PathBuf>,
    /// The model's name in answers.
    pub model: String,
}

/// A photo, and where to send what is found in it.
struct Task {
    bytes: Vec<u8>,
    reply: Sender<Result<FoundObjects>>,
}

/// The detections, in both forms that are asked for.
struct FoundObjects {
    json: Value,
    seen: PhotoFindings,
}

/// Answers until asked to stop.
///
/// # Errors
/// If the address is in use, or Label Studio's cannot be reached.
pub fn serve_model(finder: &Finder, options: EndpointOptions, stop: &AtomicBool) -> Result<()> {
    let listener = bind(options.address.0)?;
    let address = listener.local_addr().context("the listener has no address")?;
    let access = Access::at(address)?;
    let (tasks, queue) = bounded(WAITING);
    let store = PhotoStore::new(options.label_studio, options.photos)?;
    let endpoint = Endpoint { tasks, access, store, model: options.model };
    terminal::complain(format_args!("detector: {}", endpoint.access.url(address)));
    listen(listener, BOUNDS, Arc::new(move |request, _| ConnectionFate::Response(endpoint.answer(request))))?;
    work(finder, &queue, stop);
    Ok(())
}

fn work(finder: &Finder, queue: &Receiver<Task>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match queue.recv_timeout(SLICE) {
            // Nobody waits for the answer if it cannot be sent.
            Ok(Task { bytes, reply }) => drop(reply.send(look(finder, &bytes))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn look(finder: &Finder, bytes: &[u8]) -> Result<FoundObjects> {
    let photo = Photo::decode(bytes, Path::new("photo"))?;
    let sighting = finder.look(photo.image, photo.size);
    let json = finder.json("photo", &sighting);
    let SearchedPicture { size, detections, .. } = sighting;
    let named = |d: Detection| (finder.class_names()[d.class].clone(), d);
    Ok(FoundObjects { json, seen: (size, detections.into_iter().map(named).collect()) })
}

/// The connections' side.
struct Endpoint {
    tasks: Sender<Task>,
    access: Access,
    store: PhotoStore,
    model: String,
}

/// The queue is full.
#[derive(Debug, thiserror::Error)]
#[error("too many photos wait already")]
struct Full;

impl Endpoint {
    fn answer(&self, request: &Request) -> Response {
        if let Err(refusal) = self.access.judge(request, Callers::Programs) {
            return refusal;
        }
        match (request.method, request.path.as_str()) {
            (Method::Post, "/detect" | "/") => match self.look(request.body.clone()) {
                Ok(found) => Response::json(200, &found.json),
                Err(error) => refused(&error),
            },
            (Method::Post, "/predict") => {
                let look = |bytes| Ok(self.look(bytes)?.seen);
                match predictions(&request.body, &self.store, &self.model, &look) {
                    Ok(answer) => Response::json(200, &answer),
                    Err(error) => refused(&error),
                }
            }
            (Method::Post, "/setup") => Response::json(200, &json!({"model_version": self.model})),
            // Label Studio tells of labels, projects and training, which are of no concern here.
            (Method::Post, "/train" | "/webhook" | "/validate" | "/duplicate_model" | "/delete" | "/job_status") => {
                Response::json(200, &json!({}))
            }
            (Method::Get, "/versions") => Response::json(200, &json!({"versions": [self.model]})),
            (Method::Get | Method::Head, "/health") => {
                Response::json(200, &json!({"status": "UP", "model_class": "Fieldtune", "model_version": self.model}))
            }
            (Method::Get | Method::Head, "/") => Response::text(200, USAGE),
            (_, "/detect" | "/predict" | "/setup" | "/health") => Response::text(405, USAGE),
            _ => Response::not_found(),
        }
    }

    /// Has a photo looked at.
    fn look(&self, bytes: Vec<u8>) -> Result<FoundObjects> {
        if bytes.is_empty() {
            bail!("found no bytes, expected a photo\nhelp: curl --data-binary @photo.jpg ...");
        }
        let (reply, answer) = bounded(1);
        self.tasks.try_send(Task { bytes, reply }).map_err(|_| Full)?;
        answer.recv_timeout(PATIENCE).map_err(|_| anyhow!(Full))?
    }
}

fn refused(error: &anyhow::Error) -> Response {
    let status = if error.is::<Full>() { 503 } else { 422 };
    let response = Response::json(status, &json!({"error": format!("{error:#}")}));
    if status == 503 { response.with("Retry-After", "1") } else { response }
}
