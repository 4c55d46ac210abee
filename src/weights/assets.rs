//! Models out of a file that a web page loads in one piece: other files first, then the TFLite model, one after the
//! other without a table (the table is in the page's script).
//!
//! A model is found by its identifier (`TFL3` at byte 4) and taken for one if the flatbuffer that begins there is
//! sound: all its tables and vectors lie inside. It ends where the next one begins, or with the file.

use std::ops::Range;

use tract_tflite::tflite::root_as_model;

use super::labels;

/// The most places that are looked at: a model's numbers may spell the identifier by chance, but seldom.
const MAX_PLACES: usize = 16;

/// The bytes from byte 4 on of every TFLite file.
const IDENTIFIER: &[u8] = b"TFL3";

/// The places of the models in `bytes`.
///
/// # Errors
/// How many places have the identifier, if they are more than any package has.
pub(super) fn models(bytes: &[u8]) -> Result<Vec<Range<usize>>, usize> {
    let places: Vec<usize> =
        bytes.windows(IDENTIFIER.len()).enumerate().filter_map(|(at, w)| (w == IDENTIFIER).then_some(at)).collect();
    if places.len() > MAX_PLACES {
        return Err(places.len());
    }
    let starts = places.into_iter().filter_map(|at| at.checked_sub(4));
    let starts: Vec<usize> = starts.filter(|&start| root_as_model(&bytes[start..]).is_ok()).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
}

/// Class names before the first model, if the bytes before it are a list of names.
pub(super) fn names_before(bytes: &[u8], model: usize) -> Option<Vec<String>> {
    let before = &bytes[..model];
    // Files are padded to where the model's alignment wants it.
    let end = before.iter().rposition(|&b| b != 0)? + 1;
    (end as u64 <= labels::MAX_BYTES).then(|| labels::parse(&before[..end]).ok())?
}
