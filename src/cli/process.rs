//! Settings of the whole process: logging, allocator, threads, signals.

use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// More than any machine this is for has cores.
const MOST_THREADS: usize = 256;

/// Logging and the allocator. Call once, first.
pub fn prepare_process() {
    super::log_file::start();
    keep_freed_memory();
    end_quietly_on_closed_pipe();
    tell_of_unreadable_pages();
}

/// Rust ignores SIGPIPE, so that `fieldtune check | head` would end in a panic instead of ending.
fn end_quietly_on_closed_pipe() {
    #[cfg(unix)]
    // SAFETY: sets a signal's disposition to the system's default; no handler of ours is involved.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// What is said where a page of a mapped pack cannot be read; no file is named, as nothing may be allocated then.
const UNREADABLE: &str = "error: storage: a part of the pack cannot be read: the card fails (see dmesg), or the file was \
cut off while it was in use; the last checkpoint is kept\nhelp: mend or replace the card, copy what can be read, resume\n";

/// A read that fails in mapped memory comes as a signal and not as an error: what would be an unexplained crash ends
/// the run resumably.
fn tell_of_unreadable_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: all bytes zero is a value of this structure; the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = unreadable as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

#[cfg(target_os = "linux")]
extern "C" fn unreadable(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over a valid structure, and only calls that are allowed in a handler are made.
    unsafe {
        if (*info).si_code == libc::BUS_ADRERR {
            libc::write(libc::STDERR_FILENO, UNREADABLE.as_ptr().cast(), UNREADABLE.len());
            libc::_exit(super::RESUMABLE.into());
        }
    }
    // Anything else is a bug: on return it happens again, now with the system's own handler.
}

/// glibc gives large blocks back to the system when they are freed and faults them in again at the next step; a
/// training step frees and takes the same blocks over and over. It also keeps a heap for every thread, where what the
/// loader's threads freed is of no use to the trainer, and whose ends `malloc_trim` leaves alone: one heap for all.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Sets the number of threads that the kernels share; all cores if `None`. Returns it.
///
/// # Errors
/// If there are too many, or they cannot be started.
pub fn set_threads(threads: Option<usize>) -> Result<usize> {
    if let Some(count) = threads.filter(|&n| n > MOST_THREADS) {
        bail!("threads = {count}, expected at most {MOST_THREADS}, or 0 for all cores");
    }
    let count = threads.filter(|&n| n > 0).or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let count = count.unwrap_or(1);
    let started = rayon::ThreadPoolBuilder::new().num_threads(count).use_current_thread().build_global();
    // A second run in one process has its threads already.
    if started.is_err() && rayon::current_num_threads() == count {
        return Ok(count);
    }
    started.context("cannot start the worker threads")?;
    Ok(count)
}

/// A flag that SIGTERM and SIGINT set; a second SIGINT ends the program at once. A second SIGTERM does not: `timeout`
/// sends two.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};
    let stop = Arc::new(AtomicBool::new(false));
    register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop))
        .and_then(|_| register(SIGINT, Arc::clone(&stop)))
        .and_then(|_| register(SIGTERM, Arc::clone(&stop)))
        .context("cannot listen to signals")?;
    Ok(stop)
}
