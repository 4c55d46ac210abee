//! Buffers that a kernel fills completely.

/// A type of which every pattern of bits is a value.
pub trait PlainNumber: Copy {}

impl PlainNumber for f32 {}

/// A number of 16 bits, as it is kept.
impl PlainNumber for u16 {}

/// A buffer of `len` numbers whose contents are arbitrary until a kernel has overwritten every one of them.
///
/// Zeroing the activations and their gradients costs about a tenth of a training step, and every kernel that takes
/// such a buffer writes all of it.
#[allow(clippy::uninit_vec)]
pub fn overwritten<T: PlainNumber>(len: usize) -> Vec<T> {
    let mut buffer = Vec::with_capacity(len);
    // SAFETY: the capacity is `len`, and every bit pattern is a valid number. No caller reads an element before the
    // kernel it passes the buffer to has written it (the kernels' tests run on buffers poisoned with NaN).
    unsafe { buffer.set_len(len) };
    buffer
}
