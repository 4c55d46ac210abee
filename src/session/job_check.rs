//! Errors of a job that show before anything is read or written at length.

use crate::config::JobFile;
use anyhow::{Result, bail};
use std::path::Path;

/// Bytes of a class name; more is a mistake in a label file.
const LONGEST_NAME: usize = 1000;

/// The first line of labels.txt, which names the column that is no class.
const BACKGROUND: &str = "BACKGROUND";

/// # Errors
/// If a class name cannot stand on a line of labels.txt, or two are the same.
pub fn check_class_names(data: &Path, names: &[String]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        let wrong = match name {
            name if name.trim().is_empty() => "an empty name",
            name if name.contains(['\n', '\r', '\0']) => "a name of more than one line",
            name if name == BACKGROUND => "the name of what is no object",
            name if name.len() > LONGEST_NAME => "a name longer than 1000 bytes",
            name if !seen.insert(name) => "a name that another class has",
            _ => continue,
        };
        let shown: String = name.chars().take(60).collect();
        bail!(
            "{}: class {shown:?}: {wrong}, expected names that labels.txt can list, one a line\n\
             help: rename the class in the labels and train again",
            data.display()
        );
    }
    Ok(())
}

/// MB that `memory_mb` may say: below, not even the program starts; above, no machine is.
const MEMORY_MB: std::ops::RangeInclusive<u64> = 32..=1 << 20;

/// # Errors
/// If `memory_mb` is out of its range.
pub fn check_memory(job: &JobFile) -> Result<()> {
    match job.memory_mb {
        Some(mb) if !MEMORY_MB.contains(&mb) => bail!(
            "memory_mb = {mb}, expected {} to {} MB\nhelp: it counts the whole process; `fieldtune probe` tells what a run takes",
            MEMORY_MB.start(),
            MEMORY_MB.end()
        ),
        _ => Ok(()),
    }
}

/// # Errors
/// If config.toml could not hold a path, which would be found out after the work.
pub fn check_paths(job: &JobFile) -> Result<()> {
    let paths = [
        ("data", job.data.as_deref()),
        ("weights", job.weights.as_deref()),
        ("out", Some(job.out.as_path())),
        ("metrics_file", job.metrics_file.as_deref()),
    ];
    for (key, path) in paths {
        let Some(path) = path else { continue };
        // Run folders hold absolute paths: the folders above count, too.
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let resolved = path.canonicalize().unwrap_or_else(|_| full.clone());
        if full.to_str().is_none() || resolved.to_str().is_none() {
            bail!(
                "{}: the path of {key} is not UTF-8, and config.toml, which a resumed run needs, could not hold it\n\
                 help: rename the folder",
                path.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_labels_txt_cannot_hold_are_refused() {
        let check = |names: &[&str]| {
            check_class_names(Path::new("photos"), &names.iter().map(|n| n.to_string()).collect::<Vec<_>>())
        };
        check(&["cat", "dog two", "\u{1b}[1mbold", "background"]).unwrap();
        for (names, part) in [
            (vec!["cat", "a\nb"], "class \"a\\nb\": a name of more than one line"),
            (vec![""], "class \"\": an empty name"),
            (vec![" "], "an empty name"),
            (vec!["BACKGROUND"], "what is no object"),
            (vec!["cat", "cat"], "another class"),
        ] {
            let error = check(&names).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("help:"), "{error}");
        }
    }
}
