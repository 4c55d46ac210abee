//! The frame header of a JPEG file (ITU T.81, B.2.2): its size and kind, before anything is decoded.

/// The memory that decoding has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JpegFrame {
    pub width: u32,
    pub height: u32,
    /// Its coefficients come in several scans, so that all of them are held at once.
    pub progressive: bool,
    /// Coefficients of the frame, all components together.
    coefficients: u64,
}

impl JpegFrame {
    /// Walks the segments to the frame header; `None` if there is none, or it makes no sense.
    pub fn find(bytes: &[u8]) -> Option<Self> {
        let mut at = bytes.starts_with(&[0xff, 0xd8]).then_some(2)?;
        loop {
            let [0xff, marker] = *bytes.get(at..at + 2)?.first_chunk::<2>()? else { return None };
            at += 2;
            match marker {
                // A fill byte, and markers without content.
                0xff => at -= 1,
                0x01 | 0xd0..=0xd8 => {}
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Self::read(bytes.get(at + 2..)?, matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce));
                }
                0xd9 | 0xda => return None,
                _ => at += usize::from(u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk()?)),
            }
        }
    }

    /// The header's content behind its length.
    fn read(bytes: &[u8], progressive: bool) -> Option<Self> {
        let number = |at: usize| Some(u32::from(u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk()?)));
        let (height, width, count) = (number(1)?, number(3)?, *bytes.get(5)?);
        let factors: Vec<[u64; 2]> = bytes
            .get(6..6 + 3 * usize::from(count))?
            .chunks_exact(3)
            .map(|component| [u64::from(component[1] >> 4), u64::from(component[1] & 15)])
            .collect();
        let most = |side: usize| factors.iter().map(|f| f[side]).max().filter(|most| (1..=4).contains(most));
        let (across, down) = (most(0)?, most(1)?);
        let units = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
        let coefficients = factors.iter().map(|[h, v]| units * h * v * 64).sum();
        Some(Self { width, height, progressive, coefficients })
    }

    /// Memory of all coefficients, 16 bits each.
    pub fn coefficient_bytes(&self) -> u64 {
        2 * self.coefficients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame header after an application segment.
    fn file(marker: u8, width: u16, height: u16, factors: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, marker];
        bytes.extend((8 + 3 * factors.len() as u16).to_be_bytes());
        bytes.push(8);
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.push(factors.len() as u8);
        factors.iter().for_each(|f| bytes.extend([1, *f, 0]));
        bytes
    }

    #[test]
    fn coefficients_follow_from_the_sampling() {
        // 4:2:0: 16x16 pixels are four blocks of brightness and two of colour.
        let frame = JpegFrame::find(&file(0xc2, 4000, 3000, &[0x22, 0x11, 0x11])).expect("a frame");
        assert_eq!((frame.width, frame.height, frame.progressive), (4000, 3000, true));
        assert_eq!(frame.coefficient_bytes(), 2 * 250 * 188 * 6 * 64);
        let grey = JpegFrame::find(&file(0xc0, 17, 8, &[0x11])).expect("a frame");
        assert_eq!((grey.progressive, grey.coefficient_bytes()), (false, 2 * 3 * 64));
    }

    #[test]
    fn other_bytes_are_no_frame() {
        let whole = file(0xc0, 16, 16, &[0x11, 0x11]);
        for end in 0..whole.len() {
            assert_eq!(JpegFrame::find(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(JpegFrame::find(&file(0xc0, 16, 16, &[0x00])), None, "a sampling of nothing");
        assert_eq!(JpegFrame::find(b"\x89PNG"), None);
    }
}
