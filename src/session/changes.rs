//! Changes since a run began, and their meaning for its result.

use crate::config::JobFile;
use crate::data::Pack;
use crate::kernel::Isa;
use crate::train::{Header, Records, TrainingData};
use anyhow::{Result, bail};
use std::path::Path;
use toml::{Table, Value};

/// Says which keys of config.toml are not what the run began with: it keeps its own.
pub fn tell_edits(file: &JobFile, header: &Header) {
    for (key, found, kept) in edits(file, header) {
        log::warn!(
            "config.toml: {key} = {found}, but the run began with {kept} and keeps that; for another value start a new run \
             from weights/best.onnx, for other epochs add --epochs"
        );
    }
}

/// Keys with another value in the file than in the checkpoint, and both values.
fn edits(file: &JobFile, header: &Header) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    if let Some(size) = file.imgsz.filter(|size| *size != header.size) {
        all.push(("imgsz".into(), size.to_string(), header.size.to_string()));
    }
    let [found, kept] = [&file.recipe, &header.recipe].map(|recipe| Table::try_from(recipe).unwrap_or_default());
    differences("recipe", &found, &kept, &mut all);
    all
}

fn differences(place: &str, found: &Table, kept: &Table, all: &mut Vec<(String, String, String)>) {
    let keys: std::collections::BTreeSet<&String> = found.keys().chain(kept.keys()).collect();
    for key in keys {
        let name = format!("{place}.{key}");
        match (found.get(key), kept.get(key)) {
            (Some(Value::Table(found)), Some(Value::Table(kept))) => differences(&name, found, kept, all),
            (found, kept) if found != kept => {
                let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
                all.push((name, shown(found), shown(kept)));
            }
            _ => {}
        }
    }
}

/// Says what other threads and another instruction set do to a run that goes on.
pub fn tell_machine(threads: usize, began: Option<usize>, header: &Header) {
    if let Some(began) = began.filter(|&began| began != threads) {
        log::warn!("{threads} threads, the run began with {began}: the weights will differ by rounding");
    }
    let now = Isa::best().name();
    if !header.isa.is_empty() && header.isa != now {
        log::warn!(
            "kernels of {now}, the run was saved by those of {}: the weights will differ by rounding",
            header.isa
        );
    }
}

/// # Errors
/// If the photos, their labels or their classes are others than when the run began; says which.
pub fn check_data(data: &Path, training: &Records, pack: &Pack, header: &Header) -> Result<()> {
    let found = TrainingData { images: training.len(), crc32: training.crc32() };
    let (expected, classes) = (header.training, pack.classes());
    if found == expected && classes == header.class_names {
        return Ok(());
    }
    let missing = |of: &[String], among: &[String]| {
        let names: Vec<&str> = of.iter().filter(|n| !among.contains(n)).take(5).map(String::as_str).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    };
    let what = if classes != header.class_names {
        let (new, gone) = (missing(classes, &header.class_names), missing(&header.class_names, classes));
        format!("{} classes, expected {} (new: {new}; gone: {gone})", classes.len(), header.class_names.len())
    } else if found.images != expected.images {
        format!("{} training images, expected {}", found.images, expected.images)
    } else {
        format!(
            "{} training images, as expected, but some photo or label is another (checksum {:08x}, expected {:08x})",
            found.images, found.crc32, expected.crc32
        )
    };
    bail!(
        "{}: the data set has changed since the run began: {what}; the order of photos and the schedule would be others\n\
         help: put the data set back as it was, or start a new run from weights/best.onnx",
        data.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ssdlite_mobilenet_v2;
    use crate::train::Recipe;

    #[test]
    fn edited_keys_are_named_with_both_values() {
        let network = ssdlite_mobilenet_v2(0.35, 2, false);
        let training = TrainingData { images: 4, crc32: 0 };
        let header = Header::of(network, 96.into(), &["a".into()], &Recipe::default(), training, None);
        let mut file = JobFile { imgsz: Some(96.into()), ..JobFile::default() };
        assert_eq!(edits(&file, &header), []);
        file.recipe.lr = 0.5;
        file.recipe.augment.zoom_out_probability = 0.25;
        file.recipe.class_weights.insert("a".into(), 2.0);
        let names: Vec<String> = edits(&file, &header).into_iter().map(|(key, ..)| key).collect();
        assert_eq!(names, ["recipe.augment.zoom_out_probability", "recipe.class_weights.a", "recipe.lr"]);
        assert_eq!(edits(&file, &header)[2], ("recipe.lr".into(), "0.5".into(), "0.002".into()));
    }
}
