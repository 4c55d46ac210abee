//! The plan for a training pass against the requests to the allocator.

use fieldtune::boxes::{Anchors, BoxCoder, CornerBox, Matcher};
use fieldtune::loss::{SsdLoss, TargetEncoder};
use fieldtune::model::{ConvSpec, Ssd, SsdModel, initialise_network, ssd_mobilenet_v2, ssdlite_mobilenet_v2};
use fieldtune::ops;
use fieldtune::train::{Observe, Recipe, TrainBatch, TrainState, Window, micro_step};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread took less those that it gave back, and the most that it was.
    static ALIVE: Cell<[isize; 2]> = const { Cell::new([0; 2]) };
}

/// The system's allocator, counted thread by thread: other tests run beside this one.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn count(bytes: isize) {
    // A thread that ends frees after its counters are gone.
    let _ = ALIVE.try_with(|alive| {
        let [now, most] = alive.get();
        alive.set([now + bytes, most.max(now + bytes)]);
    });
}

// SAFETY: every call is passed on as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps this call's contract, which is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps this call's contract, which is passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps this call's contract, which is passed on unchanged.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps this call's contract, which is passed on unchanged.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// The most that `f` has alive beyond what was there before.
pub fn most_alive(f: impl FnOnce()) -> usize {
    let before = ALIVE.with(|alive| {
        let [now, _] = alive.get();
        alive.set([now, now]);
        now
    });
    f();
    ALIVE.with(|alive| alive.get()[1] - before) as usize
}

const SIZE: usize = 224;

/// Share by which plan and allocator may differ: indices, targets, a column of a kernel's buffers.
const TOLERANCE: f64 = 0.05;

/// A training pass: what is planned, and what the allocator saw at the fullest moment of the leanest of some steps
/// (others may have taken the warm workspaces).
fn planned_and_seen(specs: &Ssd<ConvSpec>, freeze: usize, n: usize) -> [f64; 2] {
    let network = initialise_network(specs, &mut Pcg64Mcg::seed_from_u64(3));
    let state = TrainState::new(&network, &Recipe { freeze, ..Recipe::default() });
    let anchors = Anchors::tf_ssd(&specs.map_sizes([SIZE, SIZE]));
    let encoder = TargetEncoder { anchors, coder: BoxCoder::default(), matcher: Matcher::default() };
    let targets = vec![encoder.encode(&[1], &[CornerBox::new(0.2, 0.2, 0.7, 0.8)]); n];
    let images: Vec<f32> = (0..n * SIZE * SIZE * 3).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let (loss, mut window) = (SsdLoss::new(3), Window::default());
    let mut step = || {
        most_alive(|| {
            // Counted with the pass: the images are its first value.
            let batch = TrainBatch { images: images.clone(), size: SIZE.into(), targets: targets.clone() };
            micro_step(&state.model, &loss, batch, &mut window, Observe::Nothing);
        })
    };
    step();
    let seen = (0..4).map(|_| step()).min().expect("four steps");
    [state.model.footprint(n, SIZE, 1).training as f64, seen as f64]
}

#[test]
fn a_training_pass_takes_what_is_planned() {
    let [lite, plain] = [ssdlite_mobilenet_v2(0.35, 3, false), ssd_mobilenet_v2(0.35, 3)];
    let lite_cases = [(0, 1), (0, 4), (4, 1), (4, 4), (18, 2)].map(|(freeze, n)| ("SSDLite", &lite, freeze, n));
    let plain_cases = [(0, 1), (4, 4), (19, 2)].map(|(freeze, n)| ("SSD", &plain, freeze, n));
    for (name, specs, freeze, n) in lite_cases.into_iter().chain(plain_cases) {
        let [planned, seen] = planned_and_seen(specs, freeze, n);
        let told = format!("{name}, freeze {freeze}, {n} images: planned {planned:.0}, allocated {seen:.0} bytes");
        println!("{told}");
        assert!((planned / seen - 1.0).abs() < TOLERANCE, "{told}");
    }
}

/// Bytes that this thread holds more after `f` than before.
fn left_behind(f: impl FnOnce()) -> isize {
    let now = || ALIVE.with(|alive| alive.get()[0]);
    let before = now();
    f();
    now() - before
}

/// A run looks at thousands of images: what one left behind would be the end of a small board, and stand in the way of
/// large blocks long before.
#[test]
fn looking_at_images_leaves_nothing_behind() {
    const SIDE: usize = 96;
    let network = initialise_network(&ssdlite_mobilenet_v2(0.35, 3, false), &mut Pcg64Mcg::seed_from_u64(3));
    let trained = TrainState::new(&network, &Recipe::default()).model;
    for (what, model) in
        [("a network that only looks", SsdModel::for_inference(&network)), ("one in training", trained)]
    {
        let image = || ops::tensor(vec![0.5; SIDE * SIDE * 3], [1, SIDE, SIDE, 3]);
        let look = || {
            drop(model.forward(image()));
            drop(model.forward_observed(image(), &mut |_, _| {}));
            drop(model.backbone(image()));
            drop(model.block_outputs(image(), &[2, 5]));
        };
        // The first fills the kernels' pools, and other tests may have emptied them before the second.
        look();
        let left = (0..6).map(|_| left_behind(look)).min();
        assert_eq!(left, Some(0), "bytes left behind by {what}");
    }
}
