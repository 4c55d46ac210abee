//! The memory that decoding one photo may take: one bound for the whole process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that every photo may take: an upright photo of two megapixels.
const LEAST_BYTES: u64 = 12 << 20;

/// Without a call of [`bound_photo_memory`] only the number of pixels is bounded.
static MOST_BYTES: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on, a photo that takes more than so many bytes to decode is decoded at a fraction of its size, or is refused
/// by name where its format can be decoded whole only. Twelve megabytes are always allowed.
pub fn bound_photo_memory(bytes: u64) {
    MOST_BYTES.store(bytes.max(LEAST_BYTES), Ordering::Relaxed);
}

/// The bound in bytes.
pub(super) fn photo_memory() -> u64 {
    MOST_BYTES.load(Ordering::Relaxed)
}
