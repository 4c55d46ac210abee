//! The end of a JPEG file: tells whether a file is all there, and where a picture ends in a stream.
//!
//! Decoders are lenient: they fill what is missing with grey and say nothing. The markers tell (ITU T.81, annex B):
//! walking segment by segment, a complete file reaches EOI.

/// True if the end-of-image marker is reached; `None` if this is no JPEG.
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

/// The result of [`JpegWalk::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegEnd {
    /// The end has not come yet.
    NotYet,
    /// The picture is the bytes before this position.
    At(usize),
    /// The picture breaks off, and another begins at this position.
    Cut(usize),
}

/// Walks through the bytes of a JPEG while they come, none of them twice.
#[derive(Debug, Default)]
pub struct JpegWalk {
    at: usize,
}

impl JpegWalk {
    /// Looks for the end in `bytes`, which start with SOI and have only grown since the last call.
    pub fn end(&mut self, bytes: &[u8]) -> JpegEnd {
        self.at = self.at.max(2);
        while let Some(rest) = bytes.get(self.at..) {
            let mut pairs = rest.windows(2);
            let Some(skip) = pairs.position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff | 0xd0..=0xd7 | 0x01)) else {
                // The last byte may be the first half of a marker.
                self.at = self.at.max(bytes.len().saturating_sub(1));
                break;
            };
            let marker = self.at + skip;
            match (bytes[marker + 1], bytes.get(marker + 2..marker + 4)) {
                (0xd9, _) => return JpegEnd::At(marker + 2),
                (0xd8, _) => return JpegEnd::Cut(marker),
                (_, Some(length)) => self.at = marker + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                (_, None) => {
                    self.at = marker;
                    break;
                }
            }
        }
        JpegEnd::NotYet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        let file = [
            0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, 0xff, 0xda, 0, 3, 0, 7, 0xff, 0, 8, 0xff, 0xd0, 9, 0xff,
            0xd9, 0xff, 0xd8,
        ];
        for piece in 1..file.len() {
            let mut walk = JpegWalk::default();
            let ends = (piece..).step_by(piece).map(|end| walk.end(&file[..end.min(file.len())]));
            let found = ends.take(file.len()).find(|end| *end != JpegEnd::NotYet);
            assert_eq!(found, Some(JpegEnd::At(24)), "in pieces of {piece}");
        }
        let cut = [&file[..20], &file].concat();
        assert_eq!(JpegWalk::default().end(&cut), JpegEnd::Cut(20));
        assert_eq!(JpegWalk::default().end(&file[..20]), JpegEnd::NotYet);
    }

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
