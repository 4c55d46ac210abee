//! The pace of training against a simulated Raspberry Pi 4: it never gets hotter than 80 °C, where the firmware steps
//! in, and loses little against an oracle that knows the physics.
//!
//! Two heat capacities, die and board, and two resistances, die to board and board to air. Measured by others: without
//! a case an idle die is some 27 °C above the air (Pi-Plates, thermocouples on a Pi 4 of 2019). The rest is assumed:
//! 2.1 W idle, 6.4 W at full load (2.9 W idle for the board that Pi-Plates measured), 80 °C after some three minutes of
//! full load without a case at 25 °C, and how resistance and capacity part between die and board. The pace's gains were
//! set on this model as well, so this shows that it works in principle; no board was measured.

use fieldtune::board::{BoardConfig, BoardPace, Pacer};
use std::collections::VecDeque;

const IDLE_W: f64 = 2.1;
const LOAD_W: f64 = 6.4;

/// Die to board in K/W, and the die's capacity in J/K.
const DIE: [f64; 2] = [2.0, 4.0];

const LIMIT_C: f64 = 80.0;

/// Step of the simulation and length of a run, in seconds.
const DT: f64 = 0.02;
const RUN_S: f64 = 5400.0;

/// The air around the board.
#[derive(Clone, Copy, Debug)]
struct Place {
    air_c: f64,
    /// Board to air in K/W, and the board's capacity in J/K.
    board: [f64; 2],
}

/// No case; a closed case; a heat sink in still air.
const BARE: [f64; 2] = [7.5, 14.0];
const CASE: [f64; 2] = [12.0, 25.0];
const SINK: [f64; 2] = [4.0, 40.0];

/// The sensor's reading of the temperature.
#[derive(Clone, Copy, Debug)]
struct Sensor {
    step_c: f64,
    delay_s: f64,
}

/// As that of the Pi 4, counted late; and a better one.
const PI: Sensor = Sensor { step_c: 0.487, delay_s: 1.0 };
const FINE: Sensor = Sensor { step_c: 0.1, delay_s: 0.5 };

struct Plant {
    place: Place,
    die_c: f64,
    board_c: f64,
    now_s: f64,
    peak_c: f64,
    worked_s: f64,
    /// Temperatures that the sensor has not told yet.
    late: VecDeque<f64>,
    sensor: Sensor,
}

impl Plant {
    fn idle(place: Place, sensor: Sensor) -> Self {
        let board_c = place.air_c + IDLE_W * place.board[0];
        let die_c = board_c + IDLE_W * DIE[0];
        let late = VecDeque::from(vec![die_c; (sensor.delay_s / DT) as usize + 1]);
        Self { place, die_c, board_c, now_s: 0.0, peak_c: die_c, worked_s: 0.0, late, sensor }
    }

    fn heat(&mut self, power_w: f64, dt: f64) {
        let out = (self.die_c - self.board_c) / DIE[0];
        self.die_c += dt * (power_w - out) / DIE[1];
        self.board_c += dt * (out - (self.board_c - self.place.air_c) / self.place.board[0]) / self.place.board[1];
        self.now_s += dt;
        self.peak_c = self.peak_c.max(self.die_c);
    }

    fn run(&mut self, power_w: f64, seconds: f64) {
        for _ in 0..(seconds / DT).round().max(1.0) as u64 {
            self.heat(power_w, DT);
            self.late.push_back(self.die_c);
            self.late.pop_front();
            self.worked_s += if power_w > IDLE_W { DT } else { 0.0 };
        }
    }

    fn read(&self) -> f64 {
        let seen = self.late.front().copied().unwrap_or(self.die_c);
        (seen / self.sensor.step_c).floor() * self.sensor.step_c
    }
}

/// Trains with micro-batches of so many seconds, paced; `None` for no pace at all.
fn train(place: Place, sensor: Sensor, micro_batch_s: f64, pacer: Option<Pacer>) -> Plant {
    let mut plant = Plant::idle(place, sensor);
    let mut pacer = pacer;
    while plant.now_s < RUN_S {
        plant.run(LOAD_W, micro_batch_s);
        let Some(pacer) = &mut pacer else { continue };
        let ended = plant.now_s;
        loop {
            let left = match pacer.update(plant.now_s, Some(plant.read()), micro_batch_s, false) {
                BoardPace::Rest => 0.5,
                BoardPace::Work(share) => micro_batch_s * (1.0 / share - 1.0) - (plant.now_s - ended),
            };
            if left < DT || plant.now_s >= RUN_S {
                break;
            }
            plant.run(IDLE_W, left.min(0.5));
        }
    }
    plant
}

/// Seconds of full work that can be had at most without passing the limit: all power that there is room for, at any
/// time.
fn oracle(place: Place) -> f64 {
    let mut plant = Plant::idle(place, PI);
    let mut worked = 0.0;
    while plant.now_s < RUN_S {
        let out = (plant.die_c - plant.board_c) / DIE[0];
        let power = ((LIMIT_C - plant.die_c) * DIE[1] / DT + out).clamp(IDLE_W, LOAD_W);
        worked += DT * (power - IDLE_W) / (LOAD_W - IDLE_W);
        plant.heat(power, DT);
    }
    assert!(plant.peak_c <= LIMIT_C + 1e-6, "the oracle keeps the limit: {}", plant.peak_c);
    worked
}

fn pacer() -> Pacer {
    Pacer::new(BoardConfig::named("rpi4-2gb").expect("it is part of the program").heat)
}

#[test]
fn the_simulated_pi_4_never_passes_its_limit_and_loses_little() {
    let mut wrong = Vec::new();
    for (name, air_c, board) in [
        ("bare", 25.0, BARE),
        ("bare", 35.0, BARE),
        ("bare", 45.0, BARE),
        ("case", 25.0, CASE),
        ("case", 35.0, CASE),
        ("sink", 25.0, SINK),
        ("sink", 45.0, SINK),
    ] {
        let place = Place { air_c, board };
        let most = oracle(place);
        for micro_batch_s in [0.4, 1.0] {
            for sensor in [PI, FINE] {
                let plant = train(place, sensor, micro_batch_s, Some(pacer()));
                let share = plant.worked_s / most;
                let row = format!(
                    "{name} at {air_c} °C, micro-batch {micro_batch_s} s, sensor {} °C late by {} s: peak {:.2} °C, {share:.3} of the \
                     oracle, which works {:.2} of the time",
                    sensor.step_c,
                    sensor.delay_s,
                    plant.peak_c,
                    most / RUN_S
                );
                println!("{row}");
                if plant.peak_c > LIMIT_C || share < 0.9 {
                    wrong.push(row);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_a_pace_the_simulated_pi_4_gets_too_hot_and_as_fast_as_measured() {
    let place = Place { air_c: 25.0, board: BARE };
    let mut plant = Plant::idle(place, PI);
    while plant.die_c < LIMIT_C {
        plant.run(LOAD_W, 1.0);
    }
    assert!((120.0..260.0).contains(&plant.now_s), "some three minutes, not {} s", plant.now_s);
    let plant = train(place, PI, 1.0, None);
    assert!(plant.peak_c > LIMIT_C + 3.0, "the model can tell: {}", plant.peak_c);
}

#[test]
fn a_board_that_is_too_hot_while_idle_rests() {
    let place = Place { air_c: 65.0, board: CASE };
    let plant = train(place, PI, 1.0, Some(pacer()));
    assert!(plant.worked_s < 10.0, "{} s of work", plant.worked_s);
}
