//! Settings of the whole process: logging, allocator, threads, signals.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Logging and the allocator. Call once, first.
pub fn prepare_process() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_target(false)
        .filter_module("tract", log::LevelFilter::Error)
        .init();
    keep_freed_memory();
    end_quietly_on_closed_pipe();
}

/// Rust ignores SIGPIPE, so that `fieldtune check | head` would end in a panic instead of ending.
fn end_quietly_on_closed_pipe() {
    #[cfg(unix)]
    // SAFETY: sets a signal's disposition to the system's default; no handler of ours is involved.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// glibc gives large blocks back to the system when they are freed and faults them in again at the next step; a
/// training step frees and takes the same blocks over and over.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Sets the number of threads that the kernels share; all cores if `None`. Returns it.
///
/// # Errors
/// If the threads cannot be started.
pub fn set_threads(threads: Option<usize>) -> Result<usize> {
    let count = threads.filter(|&n| n > 0).or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let count = count.unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(count).build_global().context("cannot start the worker threads")?;
    Ok(count)
}

/// A flag that SIGTERM and SIGINT set; a second SIGINT ends the program at once.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen to signals")?;
    }
    Ok(stop)
}
