//! The file of class names beside a model, in the lines that its consumer counts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::interchange::InterchangeError;
use crate::interchange::onnx::file;

/// The meaning of line 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstLine {
    /// `BACKGROUND`: line i names class column i.
    Background,
    /// The first class: line i names class i of detections that do not count the background.
    FirstClass,
}

pub fn text(class_names: &[String], first: FirstLine) -> String {
    let background = (first == FirstLine::Background).then_some("BACKGROUND");
    let lines = background.into_iter().chain(class_names.iter().map(String::as_str));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Writes `labels.txt` beside `model`, or, where another `labels.txt` stands there, `MODEL.labels.txt`: a file with
/// other lines belongs to someone else. Returns where.
///
/// # Errors
/// If the disk refuses.
pub fn write(model: &Path, text: &str) -> Result<PathBuf, InterchangeError> {
    let shared = model.with_file_name("labels.txt");
    let taken = match fs::symlink_metadata(&shared) {
        Ok(about) => !about.is_file() || fs::read(&shared).ok().as_deref() != Some(text.as_bytes()),
        Err(_) => false,
    };
    let mut own = model.file_name().unwrap_or_default().to_os_string();
    own.push(".labels.txt");
    let path = if taken { model.with_file_name(own) } else { shared };
    file::replace(&path, |to| to.write_all(text.as_bytes()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_other_lines_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("m.onnx");
        let names = ["cat".to_string(), "dog".to_string()];
        let ours = text(&names, FirstLine::Background);
        assert_eq!(ours, "BACKGROUND\ncat\ndog\n");
        for _ in 0..2 {
            assert_eq!(write(&model, &ours).unwrap(), dir.path().join("labels.txt"));
        }
        let bare = text(&names, FirstLine::FirstClass);
        for lines in [&bare, "bird\n", &bare] {
            assert_eq!(write(&model, lines).unwrap(), dir.path().join("m.onnx.labels.txt"));
            assert_eq!(fs::read_to_string(dir.path().join("m.onnx.labels.txt")).unwrap(), *lines);
        }
        assert_eq!(fs::read_to_string(dir.path().join("labels.txt")).unwrap(), ours);
    }
}
