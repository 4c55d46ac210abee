//! Whether a JPEG file is all there.
//!
//! Decoders are lenient: they fill what is missing with grey and say nothing. The markers tell (ITU T.81, annex B):
//! walking segment by segment, a complete file reaches EOI.

/// Whether the end-of-image marker is reached; `None` if this is no JPEG.
pub fn reaches_end(bytes: &[u8]) -> Option<bool> {
    let mut at = bytes.starts_with(&[0xff, 0xd8]).then_some(2)?;
    loop {
        // To the next marker: 0xff, then neither a stuffed zero, a restart, nor another fill byte.
        let found = bytes.get(at..).unwrap_or_default().windows(2);
        let Some(skip) = { found }.position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff | 0xd0..=0xd7 | 0x01)) else {
            return Some(false);
        };
        let marker = bytes[at + skip + 1];
        at += skip + 2;
        if marker == 0xd9 {
            return Some(true);
        }
        let Some(length) = bytes.get(at..at + 2) else { return Some(false) };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_real_end_counts() {
        // An EOI inside APP1 (a thumbnail's) is not the end; a stuffed 0xff00 and a restart are scan data.
        let file = [
            0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, 0xff, 0xda, 0, 3, 0, 7, 0xff, 0, 8, 0xff, 0xd0, 9, 0xff,
            0xd9,
        ];
        assert_eq!(reaches_end(&file), Some(true));
        for end in 2..file.len() {
            assert_eq!(reaches_end(&file[..end]), Some(false), "cut at {end}");
        }
        assert_eq!(reaches_end(b"PNG"), None);
    }
}
