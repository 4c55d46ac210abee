//! The job file: its keys, each defined once, and how it is read and written.

mod fleet_file;
mod job_file;
mod keys;
mod pack_wish;
mod reference;
mod serve_address;

pub use fleet_file::FleetFile;
pub use job_file::{Given, JobFile, ServiceFile};
pub use keys::{JobKey, KEYS};
pub use pack_wish::PackWish;
pub use reference::{commented_job, default_of, markdown_tables};
pub use serve_address::ServeAddress;
