//! The program's allocator: the system's, whose large blocks begin on a cache line.
//!
//! Vectors of 64 bytes that lie across two lines cost two loads each: depthwise layers took half as long again with the
//! 16 bytes that the C library aligns to.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Bytes from which a block is aligned to it.
const LARGE: usize = 1024;

#[derive(Clone, Copy, Debug)]
pub struct LineAllocator;

fn aligned(layout: Layout) -> Layout {
    if layout.size() < LARGE { layout } else { layout.align_to(LINE).unwrap_or(layout) }
}

// SAFETY: the system's allocator, asked for no less than what is asked of this one. What is given back is described as it
// was asked for: by its layout alone. Growing goes through these, as the trait presets it.
unsafe impl GlobalAlloc for LineAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: handed on from the caller.
        unsafe { System.alloc(aligned(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, aligned(layout)) }
    }
}
