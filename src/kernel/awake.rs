//! Threads that wait for the next fork without falling asleep.

use rayon::Yield;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a thread waits for work before it may sleep: longer than anything in a step that is not shared out.
const PATIENCE: Duration = Duration::from_millis(2);

/// Looks for work between two glances at the clock, each of which lets other programs run.
const LOOKS: u32 = 64;

/// Runs `work` while the pool's other threads stay awake: between two forks of a step there are often some dozen
/// microseconds, and to wake a thread that fell asleep takes as long.
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    let Some(own) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else { return work() };
    let over = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            if context.index() != own {
                wait(&over);
            }
        });
        let _end = WaitingEnd(&over);
        work()
    })
}

/// Does what there is to do, until `over` or until there is nothing for long. The end of patience also frees a thread
/// that came here from the middle of its work.
fn wait(over: &AtomicBool) {
    let mut since = Instant::now();
    while !over.load(Ordering::Relaxed) && since.elapsed() < PATIENCE {
        for _ in 0..LOOKS {
            if let Some(Yield::Executed) = rayon::yield_now() {
                since = Instant::now();
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}

/// Ends the waiting, also when the work panics.
struct WaitingEnd<'a>(&'a AtomicBool);

impl Drop for WaitingEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds up in as many forks as there are numbers.
    fn sum(numbers: &[u64]) -> u64 {
        match numbers {
            [] => 0,
            [number] => *number,
            _ => {
                let (one, other) = numbers.split_at(numbers.len() / 2);
                let (one, other) = rayon::join(|| sum(one), || sum(other));
                one + other
            }
        }
    }

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("some threads")
    }

    #[test]
    fn forks_go_on_while_threads_are_awake() {
        let numbers: Vec<u64> = (0..1000).collect();
        for threads in [1, 2, 3, 7] {
            let pool = pool(threads);
            for _ in 0..20 {
                assert_eq!(pool.install(|| awake(|| sum(&numbers))), 499_500, "{threads} threads");
                // Also where work is kept awake within such work, on whatever thread.
                let both =
                    pool.install(|| awake(|| rayon::join(|| awake(|| sum(&numbers)), || awake(|| sum(&numbers)))));
                assert_eq!(both, (499_500, 499_500), "{threads} threads");
            }
        }
    }

    #[test]
    fn a_panic_comes_out_and_the_threads_are_free() {
        let pool = pool(3);
        let work = || pool.install(|| awake(|| -> u64 { panic!("as the test wants it") }));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        assert!(caught.is_err());
        assert_eq!(pool.install(|| sum(&[1, 2, 3])), 6);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let over = AtomicBool::new(false);
        pool(2).install(|| wait(&over));
        assert!(!over.into_inner(), "patience has an end");
    }
}
