//! The machine learning backend of Label Studio: tasks in, boxes to correct out.
//!
//! Photos come inside a task (`data:`), from the folder that was named for local files, or from the Label Studio whose
//! address was named. Nothing else is fetched, whatever a task says.

use super::label_config::{BoxControl, box_control};
use crate::eval::Detection;
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Largest photo.
const MOST_BYTES: u64 = 64 << 20;

/// Tasks of one request.
const MOST_TASKS: usize = 1000;

/// Time for fetching one photo.
const PATIENCE: Duration = Duration::from_secs(30);

/// The environment's access token of Label Studio.
const VARIABLE: &str = "LABEL_STUDIO_API_KEY";

/// How Label Studio names a file of its local storage.
const LOCAL: &str = "/data/local-files/?d=";

/// The sources that photos may come from.
pub struct PhotoStore {
    /// Without a slash at its end.
    label_studio: Option<String>,
    key: Option<String>,
    photos: Option<PathBuf>,
    agent: ureq::Agent,
}

/// The findings in a photo: width and height, and detections with their classes' names.
pub type PhotoFindings = ([u32; 2], Vec<(String, Detection)>);

impl PhotoStore {
    /// # Errors
    /// If Label Studio's address is none that can be reached, or the folder is not there.
    pub fn new(label_studio: Option<String>, photos: Option<PathBuf>) -> Result<Self> {
        if let Some(url) =
            label_studio.as_ref().filter(|url| !["http://", "https://"].iter().any(|s| url.starts_with(s)))
        {
            bail!("--label-studio {url}: expected an address that begins with http:// or https://");
        }
        let full = |path: PathBuf| path.canonicalize().with_context(|| format!("{}: no such folder", path.display()));
        // A redirect could lead anywhere.
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build();
        Ok(Self {
            label_studio: label_studio.map(|url| url.trim_end_matches('/').to_string()),
            key: std::env::var(VARIABLE).ok().filter(|key| !key.is_empty()),
            photos: photos.map(full).transpose()?,
            agent: ureq::Agent::new_with_config(config),
        })
    }

    /// The bytes of a task's photo.
    ///
    /// # Errors
    /// If it is not where photos may come from, or cannot be read.
    pub fn fetch(&self, place: &str) -> Result<Vec<u8>> {
        if let Some(data) = place.strip_prefix("data:") {
            let encoded = data.split_once(";base64,").context("found data without base64, expected ;base64,")?.1;
            return STANDARD.decode(encoded.trim()).context("the photo's base64 is damaged");
        }
        if let (Some(relative), Some(folder)) = (place.strip_prefix(LOCAL), &self.photos) {
            return read_below(folder, &percent_decode_str(relative).decode_utf8_lossy());
        }
        let Some(base) = &self.label_studio else {
            bail!(
                "found a photo at {place:?}, expected one inside the task\nhelp: --label-studio URL, or --photos FOLDER"
            )
        };
        let path = place.strip_prefix(base.as_str()).unwrap_or(place);
        if !path.starts_with('/') || path.starts_with("//") {
            bail!("found a photo at {place:?}, expected one of {base}");
        }
        let mut request = self.agent.get(format!("{base}{path}"));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Token {key}"));
        }
        let mut response = request.call().with_context(|| format!("{base}{path}: cannot fetch the photo"))?;
        Ok(response.body_mut().with_config().limit(MOST_BYTES).read_to_vec()?)
    }
}

/// Reads a file below a folder; no name leads out of it, and neither does a link.
fn read_below(folder: &Path, relative: &str) -> Result<Vec<u8>> {
    let relative = Path::new(relative);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("found a photo at {relative:?}, expected one below the folder of photos");
    }
    let path = folder.join(relative);
    let full = path.canonicalize().with_context(|| format!("{}: cannot open the photo", path.display()))?;
    if !full.starts_with(folder) || !full.is_file() {
        bail!("{}: found no regular file below the folder of photos", path.display());
    }
    let mut bytes = Vec::new();
    let read = File::open(&full).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.with_context(|| format!("{}: cannot read the photo", path.display()))?;
    Ok(bytes)
}

/// The answer to `/predict`: a result for each task, empty where its photo cannot be looked at. `look` finds objects in
/// the bytes of a photo.
///
/// # Errors
/// If it is no request of Label Studio, or the project draws no boxes on photos.
pub fn predictions(
    body: &[u8],
    store: &PhotoStore,
    version: &str,
    look: &dyn Fn(Vec<u8>) -> Result<PhotoFindings>,
) -> Result<Value> {
    let request: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    let tasks = request["tasks"].as_array().context("`tasks` is missing, expected a list")?;
    if tasks.len() > MOST_TASKS {
        bail!("found {} tasks, expected at most {MOST_TASKS}", tasks.len());
    }
    let config = request["label_config"].as_str().context("`label_config` is missing")?;
    let control = box_control(config).ok_or_else(|| {
        anyhow!("the labelling interface has no RectangleLabels for an Image\nhelp: choose \"Object Detection with Bounding Boxes\"")
    })?;
    let results = tasks.iter().map(|task| {
        let place = task["data"][control.key.as_str()].as_str();
        let seen = place.context("the task has no photo").and_then(|place| look(store.fetch(place)?));
        match seen {
            Ok(seen) => prediction(&control, version, &seen),
            Err(error) => {
                log::warn!("task {}: {error:#}", task["id"]);
                json!({"result": [], "score": 0.0, "model_version": version})
            }
        }
    });
    Ok(json!({"results": results.collect::<Vec<_>>()}))
}

/// A prediction as Label Studio takes it: boxes in percent of the photo. Classes that the project has no label for are
/// left out.
fn prediction(control: &BoxControl, version: &str, ([width, height], detections): &PhotoFindings) -> Value {
    let known: Vec<(&str, &Detection)> =
        detections.iter().filter_map(|(class, d)| Some((control.label(class)?, d))).collect();
    if known.len() < detections.len() {
        log::debug!("{} objects of classes without a label in the project", detections.len() - known.len());
    }
    let results = known.iter().enumerate().map(|(i, (label, d))| {
        let b = d.bbox;
        json!({
            "id": format!("object-{}", i + 1), "from_name": control.name, "to_name": control.image,
            "type": "rectanglelabels", "original_width": width, "original_height": height, "image_rotation": 0,
            "score": d.score,
            "value": {
                "x": 100.0 * b.x0, "y": 100.0 * b.y0, "width": 100.0 * b.width(), "height": 100.0 * b.height(),
                "rotation": 0, "rectanglelabels": [label],
            },
        })
    });
    let results: Vec<Value> = results.collect();
    let mean = known.iter().map(|(_, d)| d.score).sum::<f64>() / known.len().max(1) as f64;
    json!({"result": results, "score": mean, "model_version": version})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::CornerBox;

    const CONFIG: &str = "<View><Image name='photo' value='$image'/><RectangleLabels name='boxes' toName='photo'>\
                          <Label value='Cat'/></RectangleLabels></View>";

    #[test]
    fn no_task_reaches_what_was_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let photos = dir.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        std::fs::write(photos.join("a b.jpg"), "inside").unwrap();
        std::fs::write(dir.path().join("secret.jpg"), "outside").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path().join("secret.jpg"), photos.join("link.jpg")).unwrap();
        let store = PhotoStore::new(None, Some(photos)).unwrap();
        assert_eq!(store.fetch("/data/local-files/?d=a%20b.jpg").unwrap(), b"inside");
        assert_eq!(store.fetch("data:image/jpeg;base64,aW5zaWRl").unwrap(), b"inside");
        for place in [
            "/data/local-files/?d=../secret.jpg",
            "/data/local-files/?d=%2e%2e/secret.jpg",
            "/data/local-files/?d=/etc/passwd",
            "/data/local-files/?d=link.jpg",
            "/data/local-files/?d=",
            "http://169.254.169.254/",
            "/etc/passwd",
            "file:///etc/passwd",
            "data:image/jpeg,x",
            "data:;base64,***",
        ] {
            assert!(store.fetch(place).is_err(), "{place}");
        }
        let store = PhotoStore::new(Some("http://127.0.0.1:9/".into()), None).unwrap();
        for place in ["http://127.0.0.1:99/x", "http://127.0.0.1:9.evil/x", "//evil/x", "@evil/x"] {
            let error = store.fetch(place).expect_err(place).to_string();
            assert!(error.contains("expected one of http://127.0.0.1:9"), "{error}");
        }
        assert!(PhotoStore::new(Some("ftp://a".into()), None).is_err());
    }

    #[test]
    fn boxes_are_percent_of_the_photo_and_unknown_classes_are_left_out() {
        let found = |class: &str| {
            let bbox = CornerBox::new(0.25, 0.5, 0.75, 1.0);
            (class.to_string(), Detection { class: 0, score: 0.5, bbox, anchor: 0 })
        };
        let look = |bytes: Vec<u8>| match bytes.as_slice() {
            b"inside" => Ok(([40, 20], vec![found("cat"), found("dog")])),
            _ => Err(anyhow!("no picture")),
        };
        let store = PhotoStore::new(None, None).unwrap();
        let tasks = json!([
            {"id": 1, "data": {"image": "data:image/jpeg;base64,aW5zaWRl"}}, {"id": 2, "data": {"image": 7}},
            {"id": 3, "data": {"image": "data:image/jpeg;base64,"}},
        ]);
        let body = json!({"tasks": tasks, "label_config": CONFIG}).to_string();
        let answer = predictions(body.as_bytes(), &store, "v", &look).unwrap();
        let result = &answer["results"][0]["result"];
        assert_eq!(result.as_array().map(Vec::len), Some(1));
        assert_eq!(result[0]["value"]["x"], 25.0);
        assert_eq!((&result[0]["value"]["height"], &result[0]["original_width"]), (&json!(50.0), &json!(40)));
        assert_eq!(result[0]["value"]["rectanglelabels"], json!(["Cat"]));
        assert!([1, 2].iter().all(|i| answer["results"][i]["result"] == json!([])));
        for body in ["", "{}", "[]", r#"{"tasks": []}"#, r#"{"tasks": [], "label_config": "<View/>"}"#] {
            assert!(predictions(body.as_bytes(), &store, "v", &look).is_err(), "{body}");
        }
    }
}
