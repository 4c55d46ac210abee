//! Frames that come as a stream, read by a thread of their own so that the next one is there when it is wanted.

use super::mjpeg::{MjpegReader, with_tables};
use super::raw_frame::{FrameSize, PixelLayout};
use crate::data::{Photo, RgbImage};
use anyhow::{Context, Result, bail};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait goes on before looking whether to stop.
const SLICE: Duration = Duration::from_millis(100);

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameForm {
    Mjpeg,
    Raw(FrameSize, PixelLayout),
}

/// The treatment of frames that come faster than they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramePace {
    /// They wait, and so does who sends them: every frame of a video counts.
    Every,
    /// Only the newest waits: a live camera is shown as it is now.
    Newest,
}

/// One picture of a stream.
#[derive(Debug)]
pub struct StreamFrame {
    /// From 1; frames that were skipped count.
    pub number: u64,
    pub bytes: Vec<u8>,
    pub form: FrameForm,
    /// When its last byte had come.
    pub arrived: Instant,
}

impl StreamFrame {
    /// The picture, and its width and height before any reduction.
    ///
    /// # Errors
    /// If it does not decode.
    pub fn picture(&self) -> Result<(RgbImage, [u32; 2])> {
        match self.form {
            FrameForm::Mjpeg => {
                let photo = Photo::decode(&self.bytes, Path::new(&self.name()))?;
                Ok((photo.image, photo.size))
            }
            FrameForm::Raw(size, layout) => {
                let image = size.picture(layout, self.bytes.clone());
                let size = [image.width as u32, image.height as u32];
                Ok((image, size))
            }
        }
    }

    /// `frame-000001`.
    pub fn name(&self) -> String {
        format!("frame-{:06}", self.number)
    }
}

#[derive(Debug)]
pub struct FrameStream {
    frames: Receiver<Result<StreamFrame>>,
    skipped: Arc<AtomicU64>,
    cut: Arc<AtomicU64>,
}

impl FrameStream {
    /// Starts to read.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(input: impl Read + Send + 'static, form: FrameForm, pace: FramePace) -> Result<Self> {
        let (sender, frames) = bounded(1);
        let (skipped, cut) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let waiting = (pace == FramePace::Newest).then(|| frames.clone());
        let mut sending = Sending { sender, waiting, skipped: Arc::clone(&skipped), number: 0 };
        let counted = Arc::clone(&cut);
        let read = move || {
            if let Err(error) = sending.read(input, form, &counted) {
                // Nobody listens any more if it cannot be sent.
                let _ = sending.sender.send(Err(error));
            }
        };
        thread::Builder::new().name("frames".into()).spawn(read).context("cannot start a thread")?;
        Ok(Self { frames, skipped, cut })
    }

    /// The next frame; `None` at the end of the stream, or when asked to stop.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn next(&self, stop: &AtomicBool) -> Result<Option<StreamFrame>> {
        while !stop.load(Ordering::Relaxed) {
            match self.frames.recv_timeout(SLICE) {
                Ok(frame) => return frame.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Frames that came while another was looked at.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Frames that broke off.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

/// The reading thread's side.
struct Sending {
    sender: Sender<Result<StreamFrame>>,
    /// For a stream of which only the newest frame waits: to take back one that has become old.
    waiting: Option<Receiver<Result<StreamFrame>>>,
    skipped: Arc<AtomicU64>,
    number: u64,
}

impl Sending {
    fn read(&mut self, mut input: impl Read, form: FrameForm, cut: &AtomicU64) -> Result<()> {
        let refused = "standard input: cannot read the stream";
        match form {
            FrameForm::Mjpeg => {
                let mut reader = MjpegReader::new(input);
                while let Some(bytes) = reader.next().context(refused)? {
                    cut.store(reader.cut, Ordering::Relaxed);
                    if !self.send(with_tables(bytes), form) {
                        return Ok(());
                    }
                }
                cut.store(reader.cut, Ordering::Relaxed);
                Ok(())
            }
            FrameForm::Raw(size, layout) => loop {
                let expected = size.bytes(layout);
                let mut bytes = Vec::with_capacity(expected);
                let found = input.by_ref().take(expected as u64).read_to_end(&mut bytes).context(refused)?;
                if found == 0 {
                    return Ok(());
                }
                if found < expected {
                    bail!(
                        "standard input: frame {} has {found} bytes, expected {expected} for {}x{} pixels\n\
                         help: --raw and --pixels must be what the sender writes",
                        self.number + 1,
                        size.width,
                        size.height
                    );
                }
                if !self.send(bytes, form) {
                    return Ok(());
                }
            },
        }
    }

    /// True if somebody still listens.
    fn send(&mut self, bytes: Vec<u8>, form: FrameForm) -> bool {
        self.number += 1;
        let mut frame = Ok(StreamFrame { number: self.number, bytes, form, arrived: Instant::now() });
        let Some(waiting) = &self.waiting else { return self.sender.send(frame).is_ok() };
        loop {
            frame = match self.sender.try_send(frame) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(frame)) => frame,
            };
            if waiting.try_recv().is_ok() {
                self.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: FrameForm = FrameForm::Raw(FrameSize { width: 2, height: 1 }, PixelLayout::Gray);

    #[test]
    fn every_frame_comes_in_order_and_a_part_of_one_is_an_error() {
        let stream = FrameStream::start(&[1, 1, 2, 2, 3][..], FORM, FramePace::Every).unwrap();
        let stop = AtomicBool::new(false);
        for number in 1..=2u8 {
            let frame = stream.next(&stop).unwrap().expect("a frame");
            assert_eq!((frame.number, frame.picture().unwrap().0.pixels), (u64::from(number), vec![number; 6]));
        }
        let error = stream.next(&stop).unwrap_err().to_string();
        assert!(error.contains("frame 3 has 1 bytes, expected 2 for 2x1 pixels\nhelp: "), "{error}");
        assert!(stream.next(&stop).unwrap().is_none());
    }

    #[test]
    fn the_newest_frame_takes_the_place_of_one_that_waits() {
        let stream = FrameStream::start(&[1, 1, 2, 2, 3, 3][..], FORM, FramePace::Newest).unwrap();
        while stream.skipped() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        let stop = AtomicBool::new(false);
        assert_eq!(stream.next(&stop).unwrap().map(|f| f.number), Some(3));
        assert!(stream.next(&stop).unwrap().is_none());
        stop.store(true, Ordering::Relaxed);
        assert!(stream.next(&stop).unwrap().is_none());
    }
}
