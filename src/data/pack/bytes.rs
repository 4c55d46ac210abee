//! Little-endian fields, one after the other, out of bytes that may be anything.

/// Reads fields from the front; `None` as soon as something is not there.
pub struct PackFields<'a>(pub &'a [u8]);

impl<'a> PackFields<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length or an index: a u64 that fits the machine.
    pub fn size(&mut self) -> Option<usize> {
        self.u64()?.try_into().ok()
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    pub fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

/// Appends a text with its length in front.
///
/// # Panics
/// If the text is longer than 4 GiB, which no file name or class name is.
pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names are shorter than 4 GiB");
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
}
