//! Numbers in 16 bits on every instruction set: IEEE 754's own cases, and all of the rest against the `half` crate.

use fieldtune::kernel::{Isa, narrow, widen};
use half::f16;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

const GUARD: usize = 17;

fn narrowed(isa: Isa, from: &[f32]) -> Vec<u16> {
    let mut buffer = vec![0xABCD; GUARD + from.len() + GUARD];
    narrow(isa, from, &mut buffer[GUARD..GUARD + from.len()]);
    let zones = buffer[..GUARD].iter().chain(&buffer[GUARD + from.len()..]);
    assert!(zones.into_iter().all(|&v| v == 0xABCD), "{isa:?} wrote outside a buffer of {}", from.len());
    buffer[GUARD..GUARD + from.len()].to_vec()
}

fn widened(isa: Isa, from: &[u16]) -> Vec<f32> {
    let mut buffer = vec![-77.0; GUARD + from.len() + GUARD];
    widen(isa, from, &mut buffer[GUARD..GUARD + from.len()]);
    let zones = buffer[..GUARD].iter().chain(&buffer[GUARD + from.len()..]);
    assert!(zones.into_iter().all(|&v| v == -77.0), "{isa:?} wrote outside a buffer of {}", from.len());
    buffer[GUARD..GUARD + from.len()].to_vec()
}

#[test]
fn numbers_are_rounded_to_the_nearest_and_ties_to_the_even() {
    let ulp = 2f32.powi(-10);
    let cases = [
        (1.0, 0x3C00),
        (1.0 + ulp / 2.0, 0x3C00),
        (1.0 + ulp * 1.5, 0x3C02),
        (1.0 + ulp * 0.501, 0x3C01),
        (-1.0 - ulp * 0.501, 0xBC01),
        (5.9999, 0x4600),
        (6.0, 0x4600),
        (65504.0, 0x7BFF),
        (65519.99, 0x7BFF),
        (65520.0, 0x7C00),
        (1e9, 0x7C00),
        (f32::INFINITY, 0x7C00),
        (f32::NEG_INFINITY, 0xFC00),
        // The smallest number, and what is half and more than half of it.
        (2f32.powi(-24), 0x0001),
        (2f32.powi(-25), 0x0000),
        (2f32.powi(-25) * 1.01, 0x0001),
        (1e-30, 0x0000),
        (-0.0, 0x8000),
    ];
    for isa in Isa::available() {
        // At every place of a vector, and behind the last whole one.
        let (from, wanted): (Vec<f32>, Vec<u16>) = cases.iter().cycle().take(3 * cases.len() + 1).copied().unzip();
        assert_eq!(narrowed(isa, &from), wanted, "{isa:?}");
        assert!(widened(isa, &narrowed(isa, &[f32::NAN]))[0].is_nan(), "{isa:?}");
    }
}

#[test]
fn every_number_of_16_bits_is_made_wide_exactly() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for isa in Isa::available() {
        for (&bits, wide) in all.iter().zip(widened(isa, &all)) {
            let wanted = f16::from_bits(bits).to_f32();
            assert!(
                wide == wanted || wide.is_nan() && wanted.is_nan(),
                "{isa:?} {bits:#06x}: {wide}, expected {wanted}"
            );
        }
    }
}

#[test]
fn all_lengths_and_magnitudes_equal_the_half_crate() {
    let mut rng = Pcg64Mcg::seed_from_u64(16);
    for len in (0..40).chain([1000]) {
        let from: Vec<f32> =
            (0..len).map(|_| rng.random_range(-1f32..1.0) * 2f32.powi(rng.random_range(-26..17))).collect();
        let wanted: Vec<u16> = from.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
        for isa in Isa::available() {
            assert_eq!(narrowed(isa, &from), wanted, "{isa:?}, {len} numbers");
        }
    }
}
