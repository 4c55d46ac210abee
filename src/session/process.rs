//! Settings of the whole process: logging, allocator, threads, signals.

use crate::board::Memory;
use crate::data::bound_photo_memory;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// More than any machine this is for has cores.
pub const MOST_THREADS: usize = 256;

/// Logging and the allocator. Call once, first. SIGPIPE stays ignored, as Rust has it: a write to a closed pipe is an
/// error for the writer, see [`super::terminal`], and not the end of a run.
pub fn prepare_process() {
    super::log_file::start();
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    bound_photos(None, cores);
    keep_freed_memory();
    tell_of_unreadable_pages();
}

/// The message where a page of a mapped pack cannot be read; no file is named, as nothing may be allocated then.
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
            libc::_exit(super::exit::RESUMABLE.into());
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
    // A second run in one process has its threads already, and so has one that a library call put on threads of its own: a
    // failed attempt to build the process's pool from one of them would leave the process without any.
    if rayon::current_thread_index().is_some() && rayon::current_num_threads() == count {
        return Ok(count);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).use_current_thread();
    pool.build_global().context("cannot start the worker threads")?;
    Ok(count)
}

/// The memory of a run that is there while its photos are packed, in MB: the program, the start's weights, the labels.
const BESIDE_PHOTOS_MB: u64 = 48;

/// Bounds the memory of photos in decoding: `threads` of them at once stay within `memory_mb` for the whole process, or
/// within half of what is left here.
pub fn bound_photos(memory_mb: Option<u64>, threads: usize) {
    let left = Memory::available(Path::new("/")).map(|memory| memory.available_bytes / 2);
    let wanted = memory_mb.map(|mb| mb.saturating_sub(BESIDE_PHOTOS_MB) << 20);
    if let Some(bytes) = [left, wanted].into_iter().flatten().min() {
        bound_photo_memory(bytes / threads.max(1) as u64);
    }
}

/// The program's caller, which decides which signals mean that nobody waits for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person or a script, which may hang up or close the pipe.
    Terminal,
    /// A service manager, whose log may be started anew while the run goes on.
    Manager,
}

/// A flag that SIGTERM, SIGINT and SIGHUP set, and on a terminal SIGPIPE; a second SIGINT ends the program at once. A
/// second SIGTERM does not: `timeout` sends two. SIGHUP stays ignored where it is, as `nohup` has it.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_on_signal(audience: Audience) -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};
    let stop = Arc::new(AtomicBool::new(false));
    register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop)).context("cannot listen to signals")?;
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    if audience == Audience::Terminal {
        signals.push(SIGPIPE);
    }
    for signal in signals {
        register(signal, Arc::clone(&stop)).context("cannot listen to signals")?;
    }
    Ok(stop)
}

/// The time that a child process took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChildTime {
    /// In the program and in the system, all threads.
    pub cpu_seconds: f64,
}

/// Waits for a child process to end.
///
/// # Errors
/// If it cannot be waited for.
pub fn wait_with_time(child: std::process::Child) -> Result<(std::process::ExitStatus, ChildTime)> {
    use std::os::unix::process::ExitStatusExt;
    let mut status = 0;
    // SAFETY: all bytes zero is a value of this structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values of this function, and the child is waited for nowhere else.
        let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
        if ended >= 0 {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("cannot wait for a run");
        }
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    let cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok((std::process::ExitStatus::from_raw(status), ChildTime { cpu_seconds }))
}

/// True if the process ignores a signal.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all bytes zero is a value of this structure, and without a new action sigaction only fills it in.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}
