//! The shared reference data beside the checkout: weights, photos, golden figures. They are not ours to copy in here.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the shared reference data, or `None` (said aloud) where it is not there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if full.exists() {
        return Some(full);
    }
    // Past the harness, which shows what a test prints only when it fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED: no {}", full.display());
    None
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable fixture")).expect("valid JSON")
}
