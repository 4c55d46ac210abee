//! Random bits for the noise of privacy: the system's, which nobody can guess, or a simulation's own.

use anyhow::{Result, anyhow};
use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Bytes that are asked of the system at once.
const BUFFER: usize = 4096;

pub enum Chance {
    System { buffer: Box<[u8; BUFFER]>, used: usize },
    Seeded(Pcg64Mcg),
}

impl Chance {
    /// # Errors
    /// If the system has no randomness.
    pub fn of_system() -> Result<Self> {
        let mut buffer = Box::new([0; BUFFER]);
        getrandom::fill(&mut buffer[..]).map_err(|e| anyhow!("no randomness from the system: {e}"))?;
        Ok(Self::System { buffer, used: 0 })
    }

    /// The same bits for the same seed: for simulations alone.
    pub fn of_seed(seed: u64) -> Self {
        Self::Seeded(Pcg64Mcg::seed_from_u64(seed))
    }
}

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        match self {
            Self::Seeded(rng) => rng.next_u64(),
            Self::System { buffer, used } => {
                if *used + 8 > BUFFER {
                    getrandom::fill(&mut buffer[..]).expect("a system that had randomness has more");
                    *used = 0;
                }
                let bytes = buffer[*used..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                *used += 8;
                bytes
            }
        }
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        for chunk in to.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_systems_bits_never_repeat_and_a_seeds_bits_do() {
        let mut system = Chance::of_system().unwrap();
        let drawn: BTreeSet<u64> = (0..2000).map(|_| system.next_u64()).collect();
        assert_eq!(drawn.len(), 2000);
        let draw = |seed| {
            let mut bytes = [0; 11];
            Chance::of_seed(seed).fill_bytes(&mut bytes);
            bytes
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
