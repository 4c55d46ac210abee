//! The machine that training runs on, as the rest needs to know it: plain numbers.

mod memory;

pub use memory::{Memory, MemoryLimit, release_freed_memory};
