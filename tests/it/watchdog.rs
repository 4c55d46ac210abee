//! The watchdog against series that behave like runs: healthy ones, one fault each, and recorded ones of real photos.

use fieldtune::watchdog::{
    Action, Cause, CureOutcome, EpochFigures, ImageSignals, JournalEntry, Mode, Portion, RunFacts, StageFacts,
    StageKind, StageSignals, StepSignals, Watchdog, parse, replay, story,
};

const STEPS: u64 = 800;
const PER_EPOCH: u64 = 40;
const IMAGES: u32 = 160;

/// Seeded deviates: splitmix64 and Box-Muller.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Times the right rate.
    Rate(f64),
    Collapse,
    Dead(usize),
    Saturated(usize),
    NoGradient(usize),
    SilentMap,
    Barren,
    NonFinite,
    Poison,
    Parked,
    Shifted,
    Swapped,
    RareClass,
    Overfit,
    DecayedAtOnce,
    NeverWarm,
}

fn facts() -> RunFacts {
    let stage = |name: &str, kind| StageFacts { name: name.into(), kind, trained: true, fresh_predictor: false };
    let mut stages: Vec<StageFacts> = (0..5).map(|i| stage(&format!("block {i}"), StageKind::Backbone)).collect();
    stages.push(stage("extra 0", StageKind::Extra));
    stages.extend((0..3).map(|i| stage(&format!("box head {i}"), StageKind::BoxHead)));
    stages.extend((0..3).map(|i| stage(&format!("class head {i}"), StageKind::ClassHead)));
    RunFacts {
        stages,
        classes: vec!["cat".into(), "dog".into(), "owl".into()],
        objects: vec![100, 90, 40],
        map_positives: vec![300, 500, 200],
        images: u64::from(IMAGES),
        steps_per_epoch: PER_EPOCH,
        total_steps: STEPS,
        batch: 4,
        micro_batch: 2,
        lr: 2e-3,
        clip: 10.0,
        response: Some(0.6),
        ..RunFacts::default()
    }
}

/// A run that behaves like one, and like a sick one where the fault is not cured.
struct Patient {
    noise: Noise,
    fault: Fault,
    character: Vec<f64>,
    /// Progress of learning, 0 to 1.
    learned: f64,
    hurt: f64,
    /// The watchdog's factor of the rate.
    rate: f64,
}

impl Patient {
    fn new(fault: Fault, seed: u64) -> Self {
        let mut noise = Noise(seed * 7919 + 13);
        let character = (0..IMAGES).map(|_| 0.25 * noise.normal()).collect();
        Self { noise, fault, character, learned: 0.0, hurt: 0.0, rate: 1.0 }
    }

    fn times(&self) -> f64 {
        self.rate * if let Fault::Rate(times) = self.fault { times } else { 1.0 }
    }

    fn factor(&self, step: u64) -> f64 {
        let t = step as f64;
        match self.fault {
            Fault::DecayedAtOnce => (-t / 8.0).exp(),
            Fault::NeverWarm => 0.02 * t / STEPS as f64,
            _ => ((t / 50.0).min(1.0)) * 0.5 * (1.0 + (std::f64::consts::PI * t / STEPS as f64).cos()),
        }
    }

    fn step(&mut self, step: u64) -> StepSignals {
        let factor = self.factor(step);
        let speed = self.times() * factor;
        if speed > 6.0 {
            self.hurt += 0.02 * speed / 10.0;
        }
        let stuck = matches!(self.fault, Fault::Collapse | Fault::Parked) && self.learned > 0.65;
        let stuck = stuck || matches!(self.fault, Fault::Dead(_) | Fault::Saturated(_)) && self.learned > 0.25;
        if !stuck {
            self.learned += (1.0 - self.learned) * 0.008 * speed.min(1.0);
        }
        let n = &mut self.noise;
        let mut around = |at: f64, spread: f64| at * (spread * n.normal()).exp();
        // Three classes of unequal share: a blind network's loss is 3.2.
        let blind = 3.28;
        let wall = if matches!(self.fault, Fault::Parked | Fault::Collapse) { blind } else { 0.0 };
        let class_loss = around((6.5 - 5.2 * self.learned + 4.0 * self.hurt).max(wall), 0.08);
        let floor = if wall > 0.0 { 2.1 } else { 0.0 };
        let box_loss = around((2.8 - 2.1 * self.learned + 2.0 * self.hurt).max(floor), 0.1);
        let collapsed = self.fault == Fault::Collapse && step > 30;
        let grad_norm = around(30.0 * if collapsed { 0.1 } else { 1.0 }, 0.4);
        let mut stages: Vec<StageSignals> = facts()
            .stages
            .iter()
            .map(|s| {
                let usual = match s.kind {
                    StageKind::Backbone => 1e-4,
                    StageKind::Extra => 1.5e-3,
                    _ => 2e-4,
                };
                StageSignals {
                    grad_norm: around(grad_norm / 4.0, 0.5) as f32,
                    weight_norm: 20.0,
                    update_ratio: around(usual * speed, 0.1) as f32,
                    dead: around(0.1, 0.3) as f32,
                    saturated: around(0.01, 0.5) as f32,
                }
            })
            .collect();
        match self.fault {
            Fault::Dead(at) => stages[at].dead = 1.0,
            Fault::Saturated(at) => stages[at].saturated = 0.95,
            Fault::NoGradient(at) => stages[at].grad_norm = 0.0,
            Fault::SilentMap => stages[9 + 1].grad_norm = 0.0,
            _ => {}
        }
        let map = |positives, share: f64| Portion { positives, loss: positives as f64 * share };
        let rare = if self.fault == Fault::RareClass { u64::from(step.is_multiple_of(4)) } else { 6 };
        let barren = if self.fault == Fault::Barren { 1 } else { 0 };
        let mut signals = StepSignals {
            step,
            epoch: (step - 1) / PER_EPOCH + 1,
            class_loss,
            box_loss,
            micro_batches: 2,
            barren,
            grad_norm,
            lr: 2e-3 * factor,
            factor,
            classes: vec![map(14, class_loss), map(10, class_loss), map(rare, class_loss)],
            maps: vec![map(9, class_loss), map(15, class_loss), map(6, class_loss)],
            stages: (step <= 4 || step.is_multiple_of(8)).then_some(stages),
            response: (step.is_multiple_of(8)).then(|| around(if collapsed { 0.01 } else { 0.6 }, 0.2)),
            noise: Some(around(60.0, 0.5)),
            images: Vec::new(),
        };
        for i in 0..4 {
            let index = ((step - 1) * 4 + i) as u32 % IMAGES;
            signals.images.push(self.image(index));
        }
        match self.fault {
            Fault::NonFinite if step == 100 => signals.grad_norm = f64::NAN,
            Fault::Poison if signals.images.iter().any(|i| i.index == 33) => {
                signals.images.iter_mut().filter(|i| i.index == 33).for_each(|i| i.placing = 4000.0);
            }
            _ => {}
        }
        signals
    }

    fn image(&mut self, index: u32) -> ImageSignals {
        let excess = match self.fault {
            Fault::Shifted if index < 40 => [1.2, 0.0, 1.0, 1.0],
            Fault::Swapped if index < 24 => [0.0, 2.5, 0.0, 0.0],
            _ => [0.0; 4],
        };
        let mut part = |at: f64, excess: f64| {
            let log = at - self.learned + self.character[index as usize] + 0.4 * self.noise.normal();
            8.0 * (log + excess * self.learned).exp() as f32
        };
        let (placing, naming) = (part(0.5, excess[0]), part(-0.2, excess[1]));
        let (mined, boxes) = (part(0.2, excess[2]), part(0.4, excess[3]));
        ImageSignals { index, positives: 8, placing, naming, mined, boxes }
    }

    fn epoch(&mut self, epoch: u64) -> EpochFigures {
        let ap = (0.5 * self.learned + 0.015 * self.noise.normal()).clamp(0.0, 1.0);
        let validation = 0.3 + 6.0 * (1.0 - self.learned) + 0.1 * self.noise.normal().abs();
        let memorised = if self.fault == Fault::Overfit { 6.0 * self.learned.powi(3) } else { 0.0 };
        let owl = if self.fault == Fault::RareClass { 0.004 } else { ap };
        EpochFigures {
            epoch,
            step: epoch * PER_EPOCH,
            ap: Some(ap),
            ap50: Some((1.6 * ap).min(1.0)),
            class_ap: vec![Some(ap), Some(ap), Some(owl)],
            validation: Some([0.7 * validation + memorised, 0.4 * validation]),
            ..EpochFigures::default()
        }
    }

    fn apply(&mut self, entries: &[JournalEntry], watchdog: &Watchdog) {
        self.rate = watchdog.adjustments().rate;
        for entry in entries {
            if let JournalEntry::Cure(cure) = entry
                && cure.applied
            {
                match (&cure.action, self.fault) {
                    (Action::RollBack { .. }, _) => (self.hurt, self.learned) = (0.0, self.learned.min(0.2)),
                    (Action::Reload { .. } | Action::SetAside { .. }, _) => self.fault = Fault::None,
                    _ => {}
                }
            }
            if let (JournalEntry::Cure(_), Fault::Collapse) = (entry, self.fault) {
                self.fault = Fault::None;
            }
        }
    }
}

/// The journal of a whole run.
fn run(fault: Fault, seed: u64, mode: Mode) -> (Vec<JournalEntry>, Watchdog, Patient) {
    let mut patient = Patient::new(fault, seed);
    let (mut watchdog, mut all) = Watchdog::begin(facts(), mode);
    for step in 1..=STEPS {
        let mut said = watchdog.step(&patient.step(step));
        if step.is_multiple_of(PER_EPOCH) {
            said.extend(watchdog.epoch(&patient.epoch(step / PER_EPOCH)));
        }
        patient.apply(&said, &watchdog);
        all.extend(said);
    }
    (all, watchdog, patient)
}

fn diagnoses(entries: &[JournalEntry]) -> Vec<(Cause, u64)> {
    entries
        .iter()
        .filter_map(|e| if let JournalEntry::Diagnosis(d) = e { Some((d.cause, d.step)) } else { None })
        .collect()
}

#[test]
fn healthy_runs_are_left_alone() {
    let mut alarms = Vec::new();
    for seed in 0..200 {
        let (entries, watchdog, _) = run(Fault::None, seed, Mode::Cure);
        if !diagnoses(&entries).is_empty() {
            alarms.push((seed, diagnoses(&entries)));
        }
        let changed = *watchdog.adjustments() != Default::default();
        assert!(!changed || alarms.last().is_some_and(|a| a.0 == seed), "seed {seed}: a cure without a cause");
    }
    assert!(alarms.len() <= 2, "{} of 200: {alarms:?}", alarms.len());
}

#[test]
fn every_fault_gets_its_name() {
    let cases = [
        (Fault::Rate(30.0), Cause::RateTooHigh, 80),
        (Fault::Rate(0.001), Cause::RateTooLow, 120),
        (Fault::Collapse, Cause::BackboneCollapsed, 80),
        (Fault::Dead(2), Cause::DeadStage(2), 40),
        (Fault::Saturated(3), Cause::SaturatedStage(3), 40),
        (Fault::NoGradient(1), Cause::GradientsVanish(1), 80),
        (Fault::SilentMap, Cause::FeatureMapStarves(1), 80),
        (Fault::Barren, Cause::NoPositives, 40),
        (Fault::NonFinite, Cause::NonFinite, 100),
        (Fault::Poison, Cause::PoisonousImage, 60),
        (Fault::Parked, Cause::BoxesWrong, STEPS),
        (Fault::Shifted, Cause::BoxesWrong, STEPS),
        (Fault::Swapped, Cause::LabelsSwapped, STEPS),
        (Fault::RareClass, Cause::ClassStarves(2), STEPS),
        (Fault::Overfit, Cause::Overfitting, STEPS),
        (Fault::DecayedAtOnce, Cause::DecaysAtOnce, 160),
        (Fault::NeverWarm, Cause::NeverWarmsUp, 400),
    ];
    let (mut wrong, mut total) = (Vec::new(), 0);
    for (fault, cause, latest) in cases {
        for seed in 0..10 {
            let found = diagnoses(&run(fault, seed, Mode::Advise).0);
            total += 1;
            if found.first().is_none_or(|f| f.0 != cause || f.1 > latest) {
                wrong.push(format!("{fault:?}, seed {seed}: {found:?}, expected {cause:?} by step {latest}"));
            }
        }
    }
    assert!(wrong.len() * 20 <= total, "{} of {total}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_cure_is_given_checked_and_told() {
    let (entries, watchdog, patient) = run(Fault::Rate(30.0), 1, Mode::Cure);
    let helped = |e: &JournalEntry| matches!(e, JournalEntry::Verdict(v) if v.cause == Cause::RateTooHigh && v.outcome == CureOutcome::Helped);
    assert!(entries.iter().any(helped), "{:#?}", entries.iter().filter(|e| e.is_decision()).collect::<Vec<_>>());
    let rate = watchdog.adjustments().rate * 30.0;
    assert!((0.2..6.0).contains(&rate), "the rate ends at {rate} times the right one");
    assert!(patient.learned > 0.9);
    let told = story(&entries, &|i| format!("{i}.jpg")).join("\n");
    assert!(told.contains("learning rate too high") && told.contains("It helped") && told.contains("To do"), "{told}");

    let (entries, watchdog, patient) = run(Fault::Rate(0.001), 1, Mode::Cure);
    assert!(watchdog.adjustments().rate > 100.0 && patient.learned > 0.7, "{:?}", diagnoses(&entries));
    let (_, watchdog, _) = run(Fault::Poison, 1, Mode::Cure);
    assert_eq!(watchdog.adjustments().set_aside, [33]);
}

#[test]
fn advice_changes_nothing_and_off_says_nothing() {
    let (entries, watchdog, _) = run(Fault::Rate(30.0), 2, Mode::Advise);
    assert_eq!(*watchdog.adjustments(), Default::default());
    assert!(entries.iter().all(|e| !matches!(e, JournalEntry::Cure(c) if c.applied)));
    let (entries, watchdog, _) = run(Fault::Rate(30.0), 2, Mode::Off);
    assert!(entries.len() == 1 && *watchdog.adjustments() == Default::default());
}

#[test]
fn a_journal_replays_to_the_same_decisions() {
    for fault in [Fault::None, Fault::Rate(30.0), Fault::Rate(0.001), Fault::Poison, Fault::Collapse, Fault::RareClass]
    {
        let (entries, watchdog, _) = run(fault, 3, Mode::Cure);
        assert_eq!(watchdog.lines(), entries.len() as u64);
        let text: String = entries.iter().map(|e| e.to_line() + "\n").collect();
        let read = parse(&text).expect("it was written so");
        assert_eq!(read, entries);
        assert_eq!(replay(&read), entries, "{fault:?}");
        let cut = &text[..text.len() - 20];
        assert_eq!(parse(cut).expect("cut off").len(), entries.len() - 1);
    }
    let error = parse("{\"entry\":\"none\"}\n").expect_err("it is none").to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn saved_and_restored_anywhere_it_goes_on_as_if_nothing_had_been() {
    let (whole, end, _) = run(Fault::Rate(30.0), 4, Mode::Cure);
    for stop in [1, 13, 57, 200] {
        let mut patient = Patient::new(Fault::Rate(30.0), 4);
        let (mut watchdog, mut all) = Watchdog::begin(facts(), Mode::Cure);
        for step in 1..=STEPS {
            if step == stop {
                let text = toml::to_string(&watchdog).expect("it has only what TOML can hold");
                let restored: Watchdog = toml::from_str(&text).expect("it was written so");
                assert_eq!(restored, watchdog);
                watchdog = restored;
            }
            let mut said = watchdog.step(&patient.step(step));
            if step.is_multiple_of(PER_EPOCH) {
                said.extend(watchdog.epoch(&patient.epoch(step / PER_EPOCH)));
            }
            patient.apply(&said, &watchdog);
            all.extend(said);
        }
        assert!(all == whole && watchdog == end, "stopped at step {stop}");
    }
}
