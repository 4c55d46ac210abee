//! JPEG pictures one after the other in a stream (motion JPEG), as cameras and ffmpeg write them.
//!
//! Bytes between two pictures are skipped: the parts of an HTTP stream (`multipart/x-mixed-replace`), too, are
//! read this way. A picture that breaks off is left out and counted.

use crate::data::{JpegEnd, JpegWalk, RgbImage};
use crate::report::encode_jpeg;
use std::io::{self, ErrorKind, Read};

/// Largest picture of a stream.
const MOST_BYTES: usize = 32 << 20;

/// Second bytes of markers.
const START_OF_SCAN: u8 = 0xda;
const HUFFMAN_TABLES: u8 = 0xc4;

/// Bytes that are asked for at once.
const PIECE: usize = 64 << 10;

#[derive(Debug)]
pub struct MjpegReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Pictures that broke off.
    pub cut: u64,
}

impl<R: Read> MjpegReader<R> {
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), cut: 0 }
    }

    /// The next whole picture, `None` at the end of the stream.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut walk = JpegWalk::default();
        let mut ended = false;
        loop {
            self.skip_to_start();
            match if self.starts() { walk.end(&self.buffer) } else { JpegEnd::NotYet } {
                JpegEnd::At(end) => {
                    let rest = self.buffer.split_off(end);
                    return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
                }
                JpegEnd::Cut(at) => {
                    self.cut += 1;
                    self.buffer.drain(..at);
                    walk = JpegWalk::default();
                    continue;
                }
                JpegEnd::NotYet if self.buffer.len() > MOST_BYTES => {
                    // No camera's picture: look for the next start.
                    self.cut += 1;
                    self.buffer.drain(..2);
                    walk = JpegWalk::default();
                    continue;
                }
                JpegEnd::NotYet => {}
            }
            if ended {
                self.cut += u64::from(self.starts());
                self.buffer.clear();
                return Ok(None);
            }
            ended = self.fill()? == 0;
        }
    }

    fn starts(&self) -> bool {
        self.buffer.starts_with(&[0xff, 0xd8])
    }

    /// Drops what stands before the next start of a picture.
    fn skip_to_start(&mut self) {
        if self.starts() {
            return;
        }
        let start = self.buffer.windows(2).position(|w| w == [0xff, 0xd8]);
        // The last byte may be the first half of a start.
        let half = self.buffer.len() - usize::from(self.buffer.last() == Some(&0xff));
        self.buffer.drain(..start.unwrap_or(half));
    }

    fn fill(&mut self) -> io::Result<usize> {
        let old = self.buffer.len();
        self.buffer.resize(old + PIECE, 0);
        let count = loop {
            match self.input.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(old + count.as_ref().copied().unwrap_or(0));
        count
    }
}

/// A picture with Huffman tables: where it has none, those of ITU T.81, annex K.3, which motion JPEG means by that. The
/// encoder writes the same ones, and they are taken from a picture of its.
pub fn with_tables(picture: Vec<u8>) -> Vec<u8> {
    if tables(&picture).next().is_some() || !picture.starts_with(&[0xff, 0xd8]) {
        return picture;
    }
    let Ok(ours) = encode_jpeg(&RgbImage { width: 1, height: 1, pixels: vec![0; 3] }) else { return picture };
    let missing = tables(&ours).flatten().copied();
    picture[..2].iter().copied().chain(missing).chain(picture[2..].iter().copied()).collect()
}

/// The segments of a picture that hold Huffman tables, with their markers, up to its scan data.
fn tables(picture: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 2;
    let segments = std::iter::from_fn(move || {
        let head = picture.get(at..at + 4)?;
        let end = at + 2 + usize::from(u16::from_be_bytes([head[2], head[3]]));
        let segment = picture.get(at..end).filter(|_| head[0] == 0xff && head[1] != START_OF_SCAN)?;
        at = end;
        Some(segment)
    });
    segments.filter(|segment| segment[1] == HUFFMAN_TABLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG in its markers: SOI, a segment that holds an EOI of a thumbnail, scan data, EOI.
    fn picture(data: u8) -> Vec<u8> {
        [&[0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2][..], &[data; 9], &[0xff, 0xd9]].concat()
    }

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn pictures_are_found_whatever_stands_between_them() {
        let cut = &picture(4)[..15];
        let all = [b"--part\r\n\r\n\xff", &picture(1)[..], b"\r\n--", &picture(2), cut, &picture(3), cut].concat();
        for piece in [1, 2, 3, 7, 1000] {
            let mut reader = MjpegReader::new(Drip(&all, piece));
            for data in 1..=3 {
                assert_eq!(reader.next().unwrap(), Some(picture(data)), "in pieces of {piece}");
            }
            assert_eq!((reader.next().unwrap(), reader.cut), (None, 2));
        }
        assert_eq!(MjpegReader::new(&b"no picture"[..]).next().unwrap(), None);
    }

    #[test]
    fn a_picture_without_an_end_is_given_up_in_bounded_memory() {
        let start: &[u8] = &[0xff, 0xd8, 0xff, 0xda, 0, 2];
        let endless = io::repeat(7).take(3 * MOST_BYTES as u64);
        let end = picture(5);
        let mut reader = MjpegReader::new(start.chain(endless).chain(&end[..]));
        assert_eq!(reader.next().unwrap(), Some(picture(5)));
        assert!(reader.cut >= 1 && reader.buffer.capacity() <= 4 * MOST_BYTES);
    }
}
