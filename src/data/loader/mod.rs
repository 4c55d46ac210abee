//! Batches of one epoch, prepared by worker threads ahead of the network.
//!
//! A batch is numbered work: workers take numbers from a queue, in any order, and the consumer puts the results
//! back in order. A batch follows from the plan and its number alone, so neither the number of threads
//! nor their timing shows in it.
//!
//! Memory is bounded by tickets: a number is issued only when a batch has been handed out, and at most
//! `threads + queue` are ever issued and not handed out. For the same reason no channel can be full, no worker ever
//! waits to send, and stopping early cannot deadlock.
//!
//! A worker's panic is carried to the consumer and goes on there, as it would without threads.

mod crew;

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crew::Crew;

use super::{AugmentOptions, Batch, DataError, EpochPlan, Record, augment, plain};
use crate::boxes::InputSize;

/// How records become batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Input size of the network.
    pub size: InputSize,
    /// Samples per batch; the last one of an epoch may hold fewer.
    pub micro_batch: usize,
    /// Worker threads; with none, each batch is made when it is asked for.
    pub threads: usize,
    /// Batches that may wait finished, beyond one per thread in the making.
    pub queue: usize,
    /// `None` shows every record plainly, as evaluation does.
    pub augment: Option<AugmentOptions>,
}

type ReadRecord = dyn Fn(usize) -> Result<Record, DataError> + Send + Sync;

/// A source of records and what to do with them.
pub struct Loader {
    records: Arc<ReadRecord>,
    options: LoaderOptions,
}

impl Loader {
    /// `records` gives the record at an index of its split, from any thread.
    ///
    /// # Panics
    /// If `size` or `micro_batch` is 0.
    pub fn new<R>(records: R, options: LoaderOptions) -> Self
    where
        R: Fn(usize) -> Result<Record, DataError> + Send + Sync + 'static,
    {
        assert!(options.size.pixels() > 0 && options.micro_batch > 0, "an empty batch teaches nothing");
        Self { records: Arc::new(records), options }
    }

    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// The batches of `plan` from the sample at `start` on. Workers begin at once.
    ///
    /// A batch with a record that cannot be read is an error that names it; the batches after it still come.
    /// Resuming at a batch boundary gives exactly the batches that an uninterrupted epoch would have given.
    pub fn epoch(&self, plan: EpochPlan, start: usize) -> Epoch {
        let work = Arc::new(Work {
            records: Arc::clone(&self.records),
            options: self.options.clone(),
            start: start.min(plan.len()),
            plan,
            stop: AtomicBool::new(false),
        });
        let batches = (work.plan.len() - work.start).div_ceil(self.options.micro_batch);
        let crew = Crew::hire(&work, batches);
        Epoch { work, crew, next: 0, batches, waited: Duration::ZERO }
    }
}

/// One epoch's batches in order. Dropping it stops the workers after the sample each is at.
pub struct Epoch {
    work: Arc<Work>,
    /// `None`: batches are made by the caller.
    crew: Option<Crew>,
    next: usize,
    batches: usize,
    waited: Duration,
}

impl Epoch {
    /// Position in the plan of the next sample to come: what a checkpoint keeps.
    pub fn position(&self) -> usize {
        self.work.positions(self.next).start
    }

    /// Time the consumer has spent in `next` so far; large against the epoch's time, the pipeline is starved.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.batches {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let since = Instant::now();
        let batch = match &mut self.crew {
            None => self.work.batch(number),
            Some(crew) => Some(crew.hand_out(number, self.batches).unwrap_or_else(|panic| resume_unwind(panic))),
        };
        self.waited += since.elapsed();
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.work.stop.store(true, Ordering::Relaxed);
    }
}

/// All that it takes to make any batch of the epoch.
struct Work {
    records: Arc<ReadRecord>,
    options: LoaderOptions,
    plan: EpochPlan,
    /// Position of the first sample of batch 0.
    start: usize,
    /// Set when nobody waits for more.
    stop: AtomicBool,
}

impl Work {
    fn positions(&self, number: usize) -> Range<usize> {
        let at = |n: usize| (self.start + n * self.options.micro_batch).min(self.plan.len());
        at(number)..at(number + 1)
    }

    /// The batch of that number; `None` if told to stop meanwhile.
    fn batch(&self, number: usize) -> Option<Result<Batch, DataError>> {
        let size = self.options.size;
        let positions = self.positions(number);
        let indices = self.plan.order()[positions.clone()].to_vec();
        let mut images = Vec::with_capacity(positions.len() * size.numbers());
        let mut objects = Vec::with_capacity(positions.len());
        for (position, &index) in positions.zip(&indices) {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let record = match (self.records)(index) {
                Ok(record) => record,
                Err(error) => return Some(Err(DataError::Record { position: index, error: Box::new(error) })),
            };
            let mut sample = match &self.options.augment {
                Some(options) => augment(&record, size, options, &mut self.plan.generator(position)),
                None => plain(&record, size),
            };
            images.extend_from_slice(&sample.image.pixels);
            sample.objects.retain(|object| !object.crowd);
            objects.push(sample.objects);
        }
        Some(Ok(Batch { images, size, objects, indices }))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::boxes::CornerBox;
    use crate::data::draw::{Draw, generator};
    use crate::data::{Object, RgbImage};

    fn record(index: usize) -> Record {
        let mut rng = generator(99, 0, index as u64);
        let (width, height) = (20 + rng.below(40), 20 + rng.below(40));
        let pixels = (0..width * height * 3).map(|_| rng.below(256) as u8).collect();
        let object = |crowd| Object {
            class: index,
            bbox: CornerBox::new(0.2, 0.3, 0.8, 0.7),
            difficult: false,
            crowd,
            area: None,
        };
        Record {
            source: format!("{index}.jpg"),
            source_size: [width as u32, height as u32],
            image: RgbImage { width, height, pixels },
            objects: vec![object(false), object(true)],
        }
    }

    fn options(threads: usize) -> LoaderOptions {
        LoaderOptions {
            size: InputSize::square(24),
            micro_batch: 4,
            threads,
            queue: 2,
            augment: Some(AugmentOptions::default()),
        }
    }

    fn all(loader: &Loader, plan: EpochPlan, start: usize) -> Vec<Batch> {
        loader.epoch(plan, start).map(|batch| batch.expect("every record is readable")).collect()
    }

    fn assert_same(a: &[Batch], b: &[Batch]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert_eq!(a.indices, b.indices);
            assert_eq!(a.objects, b.objects);
            assert!(a.images == b.images, "images differ at {:?}", a.indices);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_show_and_each_index_comes_once() {
        let plan = EpochPlan::shuffled(37, 3, 5);
        let alone = all(&Loader::new(|i| Ok(record(i)), options(0)), plan.clone(), 0);
        let mut indices: Vec<usize> = alone.iter().flat_map(|b| b.indices.clone()).collect();
        assert_eq!(indices, plan.order());
        indices.sort_unstable();
        assert_eq!(indices, (0..37).collect::<Vec<_>>());
        assert_eq!(alone.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 4, 4, 4, 1]);
        assert!(
            alone.iter().all(|b| b.images.len() == b.indices.len() * 24 * 24 * 3 && b.size == InputSize::square(24))
        );
        for threads in [1, 2, 4] {
            assert_same(&all(&Loader::new(|i| Ok(record(i)), options(threads)), plan.clone(), 0), &alone);
        }
    }

    #[test]
    fn resuming_gives_the_tail_of_the_epoch() {
        let plan = EpochPlan::shuffled(30, 1, 0);
        let loader = Loader::new(|i| Ok(record(i)), options(2));
        let whole = all(&loader, plan.clone(), 0);
        let mut interrupted = loader.epoch(plan.clone(), 0);
        interrupted.by_ref().take(3).for_each(drop);
        let position = interrupted.position();
        assert_eq!((position, interrupted.len()), (12, 5));
        drop(interrupted);
        assert_same(&all(&loader, plan.clone(), position), &whole[3..]);
        assert_eq!(loader.epoch(plan.clone(), 30).count(), 0);
        assert_eq!(loader.epoch(plan, 99).count(), 0);
    }

    #[test]
    fn evaluation_is_in_order_and_crowds_are_not_trained_on() {
        let loader = Loader::new(|i| Ok(record(i)), LoaderOptions { augment: None, ..options(2) });
        let batches = all(&loader, EpochPlan::in_order(6), 0);
        assert_eq!(batches[0].indices, [0, 1, 2, 3]);
        assert_eq!(batches[1].indices, [4, 5]);
        assert!(batches.iter().flat_map(|b| &b.objects).all(|o| o.len() == 1 && !o[0].crowd));
        assert_eq!(batches[1].images[24 * 24 * 3..], plain(&record(5), 24).image.pixels);
    }

    #[test]
    fn a_record_that_fails_is_named_and_the_others_still_come() {
        let failing = |i| match i {
            5 => Err(DataError::Image { file: "5.jpg".into(), found: "cut off".into(), help: "replace it".into() }),
            i => Ok(record(i)),
        };
        for threads in [0, 3] {
            let made: Vec<_> = Loader::new(failing, options(threads)).epoch(EpochPlan::in_order(12), 0).collect();
            assert_eq!(made.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
            let message = made[1].as_ref().unwrap_err().to_string();
            assert_eq!(message, "record 5: 5.jpg: cut off\nhelp: replace it");
        }
    }

    #[test]
    fn stopping_early_ends_the_workers_at_once() {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let slow = move |i| {
            counter.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(20));
            Ok(record(i))
        };
        let loader = Loader::new(slow, options(2));
        let mut epoch = loader.epoch(EpochPlan::in_order(4000), 0);
        assert!(epoch.next().is_some_and(|batch| batch.is_ok()));
        let since = Instant::now();
        drop(epoch);
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        let after = read.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(60));
        assert_eq!(read.load(Ordering::Relaxed), after, "somebody still reads");
        drop(loader.epoch(EpochPlan::in_order(4000), 0));
    }

    #[test]
    fn no_more_batches_are_made_ahead_than_agreed() {
        let ahead = Arc::new(Mutex::new(0));
        let highest = Arc::clone(&ahead);
        let note = move |i: usize| {
            let mut highest = highest.lock().unwrap();
            *highest = i.max(*highest);
            Ok(record(i))
        };
        let loader = Loader::new(note, LoaderOptions { micro_batch: 1, ..options(2) });
        let mut epoch = loader.epoch(EpochPlan::in_order(100), 0);
        for handed_out in 1..=20 {
            assert!(epoch.next().is_some());
            thread::sleep(Duration::from_millis(5));
            let highest = *ahead.lock().unwrap();
            // two threads and a queue of two
            assert!(highest < handed_out + 4, "record {highest} read after {handed_out} batches");
        }
    }

    #[test]
    fn a_panic_in_a_worker_reaches_the_consumer() {
        for threads in [0, 2] {
            let loader = Loader::new(|i| if i == 6 { panic!("a bug at six") } else { Ok(record(i)) }, options(threads));
            let mut epoch = loader.epoch(EpochPlan::in_order(400), 0);
            assert!(epoch.next().is_some());
            let panic = catch_unwind(AssertUnwindSafe(|| epoch.next())).expect_err("the second batch has six");
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bug at six"));
        }
    }
}
