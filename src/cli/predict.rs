//! `fieldtune predict`.

use super::loaded::LoadedDetector;
use super::process::set_threads;
use crate::data::{Photo, Record, normalised, plain};
use crate::report::{Marker, draw_markers, write_png};
use crate::train::detect;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A detector (ONNX)
    pub model: PathBuf,
    /// Photos, or folders of photos
    #[arg(required = true)]
    pub photos: Vec<PathBuf>,
    /// Folder for annotated pictures and detections.json
    #[arg(short, long, default_value = "runs/predict")]
    pub output: PathBuf,
    /// Lowest score shown
    #[arg(long, default_value_t = 0.4)]
    pub conf: f64,
    #[arg(long)]
    pub threads: Option<usize>,
    /// Detections as JSON on the terminal, and no pictures
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: PredictArguments) -> Result<u8> {
    set_threads(arguments.threads)?;
    let mut loaded = LoadedDetector::open(&arguments.model)?;
    loaded.detector.score_threshold = arguments.conf;
    let photos = photos(&arguments.photos)?;
    if !arguments.json {
        std::fs::create_dir_all(&arguments.output)
            .with_context(|| format!("{}: cannot make the folder", arguments.output.display()))?;
    }
    let (mut all, mut failed) = (Vec::new(), 0);
    for path in &photos {
        match predict(&loaded, path, &arguments) {
            Ok(found) => all.push(found),
            // One bad photo does not keep the others from being looked at.
            Err(error) => {
                log::error!("{error:#}");
                failed += 1;
            }
        }
    }
    let text = serde_json::to_string_pretty(&all)?;
    if arguments.json {
        println!("{text}");
    } else {
        let file = arguments.output.join("detections.json");
        std::fs::write(&file, text).with_context(|| format!("{}: cannot write", file.display()))?;
        println!("{} photos, pictures and detections.json in {}", all.len(), arguments.output.display());
    }
    Ok(u8::from(failed > 0))
}

/// The photos named, folders opened one level deep, in order of name.
fn photos(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("{}: cannot read the folder", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| is_photo(p)).collect();
        inside.sort();
        all.extend(inside);
    }
    if all.is_empty() {
        bail!("no photo found\nhelp: name .jpg, .png, .bmp or .webp files, or a folder that holds some");
    }
    Ok(all)
}

fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png" | "bmp" | "webp"))
}

fn predict(loaded: &LoadedDetector, path: &Path, arguments: &PredictArguments) -> Result<Value> {
    let photo = Photo::read(path)?;
    let size = [photo.image.width as u32, photo.image.height as u32];
    let record =
        Record { source: path.display().to_string(), source_size: size, image: photo.image, objects: Vec::new() };
    let input = normalised(plain(&record, loaded.size).image.pixels);
    let found = detect(&loaded.model, input, 1, loaded.size, &loaded.detector).pop().unwrap_or_default();
    if !arguments.json {
        let marker =
            |d: &crate::eval::Detection| Marker::detection(d.bbox, d.class, &loaded.class_names[d.class], d.score);
        let markers: Vec<Marker> = found.iter().map(marker).collect();
        let mut picture = record.image;
        draw_markers(&mut picture, &markers);
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("photo");
        write_png(&picture, &arguments.output.join(format!("{name}.png")))?;
    }
    let [width, height] = size.map(f64::from);
    let detections: Vec<Value> = found
        .iter()
        .map(|d| {
            let b = d.bbox;
            let corners = [b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height];
            json!({"class": loaded.class_names[d.class], "score": d.score, "box": corners})
        })
        .collect();
    Ok(json!({"file": path.display().to_string(), "width": size[0], "height": size[1], "detections": detections}))
}
