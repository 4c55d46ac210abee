//! Sums per channel of what flows through the network.

/// Sums over rows of channels, and how many rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelSums {
    /// `[C]`; empty until something was added.
    pub sums: Vec<f64>,
    pub rows: usize,
}

/// Rows that are summed in `f32` before they go into the `f64` sums.
const BLOCK_ROWS: usize = 64;

impl ChannelSums {
    /// Adds `x` `[rows, channels]`.
    pub fn add(&mut self, x: &[f32], channels: usize) {
        self.sums.resize(channels, 0.0);
        let mut partial = vec![0f32; channels];
        for block in x.chunks(channels * BLOCK_ROWS) {
            partial.fill(0.0);
            for row in block.chunks_exact(channels) {
                for (sum, &v) in partial.iter_mut().zip(row) {
                    *sum += v;
                }
            }
            for (sum, &p) in self.sums.iter_mut().zip(&partial) {
                *sum += f64::from(p);
            }
        }
        self.rows += x.len() / channels;
    }

    /// Adds what another has seen.
    pub fn merge(&mut self, other: &ChannelSums) {
        self.sums.resize(self.sums.len().max(other.sums.len()), 0.0);
        for (sum, o) in self.sums.iter_mut().zip(&other.sums) {
            *sum += o;
        }
        self.rows += other.rows;
    }
}
