//! The messages `Event` and `Summary`.

use super::histogram::histogram;
use super::message::MessageBytes;

/// Values of one step.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    message: MessageBytes,
    values: usize,
}

/// Control characters have no place in a tag.
fn tag(text: &str) -> MessageBytes {
    let tag: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    MessageBytes::default().bytes(1, tag.as_bytes())
}

impl Summary {
    fn value(mut self, value: MessageBytes) -> Self {
        self.message = self.message.message(1, &value);
        self.values += 1;
        self
    }

    /// A number; one that is not finite is left out.
    pub fn scalar(self, name: &str, value: Option<f64>) -> Self {
        match value.filter(|v| v.is_finite()) {
            Some(value) => self.value(tag(name).float(2, value as f32)),
            None => self,
        }
    }

    /// A picture as the bytes of a PNG file; nothing where they are none.
    pub fn png(self, name: &str, bytes: &[u8]) -> Self {
        let side = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes).map(i64::from);
        // The header chunk comes first: its width and height are 16 and 20 bytes from the beginning.
        match (bytes.starts_with(b"\x89PNG\r\n\x1a\n"), side(16), side(20)) {
            (true, Some(width), Some(height)) => {
                let picture = MessageBytes::default().int(1, height).int(2, width).int(3, 3);
                self.value(tag(name).message(4, &picture.bytes(4, bytes)))
            }
            _ => self,
        }
    }

    /// The distribution of some values; nothing where there are none.
    pub fn histogram(self, name: &str, values: &[f64]) -> Self {
        match histogram(values) {
            Some(histogram) => self.value(tag(name).message(5, &histogram)),
            None => self,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values == 0
    }
}

/// `wall_time` in seconds since 1970.
fn event(wall_time: f64, step: u64) -> MessageBytes {
    MessageBytes::default().double(1, wall_time).int(2, i64::try_from(step).unwrap_or(i64::MAX))
}

/// The first event of every file.
pub fn version(wall_time: f64) -> MessageBytes {
    MessageBytes::default().double(1, wall_time).bytes(3, b"brain.Event:2")
}

/// A run begins, or goes on, at `step`: what earlier files of the folder hold from this step on is not true any more.
pub fn start(wall_time: f64, step: u64) -> MessageBytes {
    const START: i64 = 1;
    event(wall_time, step).message(7, &MessageBytes::default().int(1, START))
}

pub fn summary(wall_time: f64, step: u64, summary: &Summary) -> MessageBytes {
    event(wall_time, step).message(5, &summary.message)
}
