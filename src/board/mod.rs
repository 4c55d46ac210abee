//! The machine that training runs on, as plain numbers: memory, temperatures, storage, processor.

mod config;
mod memory;
mod pace;
mod pressure;
mod processor;
mod sensors;
mod storage;
mod wear;

pub use config::{BoardConfig, HeatLimits, WriteLimits, model, total_memory};
pub use memory::{Memory, MemoryLimit, process_memory, release_freed_memory};
pub use pace::{BoardPace, LEAST, Pacer};
pub use pressure::{Kills, MemoryState, limits_are_enforced};
pub use processor::Processor;
pub use sensors::{Heat, Sensors, Throttling};
pub use storage::free_bytes;
pub use wear::{Wear, written_bytes};
