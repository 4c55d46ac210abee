//! Ways to share a data set out among simulated nodes.

use anyhow::{Result, anyhow, bail};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::fmt;
use std::str::FromStr;

/// A way to share photos out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShareOut {
    /// At random, in equal parts.
    Equal,
    /// Sorted by the rarest class that a photo shows, then cut into equal parts: most nodes lack classes.
    ByClass,
    /// For each class its own shares of the nodes, drawn from a Dirichlet distribution (Hsu et al. 2019): the smaller its
    /// parameter, the more differ nodes in size and classes.
    Dirichlet(f64),
}

const PARAMETERS: std::ops::RangeInclusive<f64> = 0.001..=1e6;

impl FromStr for ShareOut {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "equal" => Ok(Self::Equal),
            None if text == "class" => Ok(Self::ByClass),
            Some(("dirichlet", parameter)) => match parameter.parse::<f64>() {
                Ok(parameter) if PARAMETERS.contains(&parameter) => Ok(Self::Dirichlet(parameter)),
                _ => bail!(
                    "dirichlet:{parameter}, expected a number from {} to {}",
                    PARAMETERS.start(),
                    PARAMETERS.end()
                ),
            },
            _ => Err(anyhow!("{text:?}, expected equal, class or dirichlet:NUMBER such as dirichlet:0.3")),
        }
    }
}

impl fmt::Display for ShareOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("equal"),
            Self::ByClass => f.write_str("class"),
            Self::Dirichlet(parameter) => write!(f, "dirichlet:{parameter}"),
        }
    }
}

impl ShareOut {
    /// The photos of each node, in ascending order; every node has one or more. `shown` are the classes that each photo shows.
    ///
    /// # Errors
    /// If there are more nodes than photos.
    pub fn deal(self, shown: &[Vec<usize>], nodes: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
        if nodes == 0 || nodes > shown.len() {
            bail!("{nodes} nodes for {} photos, expected 1 to as many nodes as photos", shown.len());
        }
        let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0xF1EE7);
        let mut order: Vec<usize> = (0..shown.len()).collect();
        order.shuffle(&mut rng);
        let rarest = rarest_classes(shown);
        if self == Self::ByClass {
            order.sort_by_key(|&photo| rarest[photo]);
        }
        let mut dealt = match self {
            Self::Equal | Self::ByClass => {
                let cut = |node: usize| node * order.len() / nodes;
                (0..nodes).map(|node| order[cut(node)..cut(node + 1)].to_vec()).collect()
            }
            Self::Dirichlet(parameter) => by_shares(&order, &rarest, nodes, parameter, &mut rng),
        };
        dealt.iter_mut().for_each(|photos: &mut Vec<usize>| photos.sort_unstable());
        Ok(dealt)
    }
}

/// The rarest class that each photo shows; one more than any class for a photo without objects.
fn rarest_classes(shown: &[Vec<usize>]) -> Vec<usize> {
    let classes = shown.iter().flatten().max().map_or(0, |&most| most + 1);
    let mut counts = vec![0usize; classes];
    shown.iter().flatten().for_each(|&class| counts[class] += 1);
    shown
        .iter()
        .map(|classes_of| classes_of.iter().copied().min_by_key(|&c| (counts[c], c)).unwrap_or(classes))
        .collect()
}

fn by_shares(order: &[usize], class: &[usize], nodes: usize, parameter: f64, rng: &mut Pcg64Mcg) -> Vec<Vec<usize>> {
    let mut dealt = vec![Vec::new(); nodes];
    let classes = class.iter().max().map_or(0, |&most| most + 1);
    for of in 0..classes {
        let draws: Vec<f64> = (0..nodes).map(|_| log_gamma_draw(parameter, rng)).collect();
        let most = draws.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = draws.iter().map(|d| (d - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        for &photo in order.iter().filter(|&&photo| class[photo] == of) {
            let mut at = rng.random::<f64>() * total;
            let node = shares.iter().position(|share| {
                at -= share;
                at < 0.0
            });
            dealt[node.unwrap_or(nodes - 1)].push(photo);
        }
    }
    // A node without a photo is none: it gets one of the node that has most.
    for node in 0..nodes {
        if dealt[node].is_empty()
            && let Some(richest) = (0..nodes).max_by_key(|&n| dealt[n].len())
            && let Some(photo) = dealt[richest].pop()
        {
            dealt[node].push(photo);
        }
    }
    dealt
}

/// The logarithm of a draw from the gamma distribution of shape `shape` and scale 1 (Marsaglia and Tsang 2000). Small shapes
/// draw numbers that only their logarithms can hold.
fn log_gamma_draw(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        let u: f64 = 1.0 - rng.random::<f64>();
        return log_gamma_draw(shape + 1.0, rng) + u.ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), 1.0 - rng.random::<f64>());
        let x = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        let cube = (1.0 + c * x).powi(3);
        let w: f64 = 1.0 - rng.random::<f64>();
        if cube > 0.0 && w.ln() < 0.5 * x * x + d - d * cube + d * cube.ln() {
            return d.ln() + cube.ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 photos of class 0, of which every fourth shows class 1 and every tenth class 2 as well.
    fn shown() -> Vec<Vec<usize>> {
        let of = |i: usize| {
            [(0, true), (1, i.is_multiple_of(4)), (2, i.is_multiple_of(10))].into_iter().filter(|c| c.1).map(|c| c.0)
        };
        (0..100).map(|i| of(i).collect()).collect()
    }

    #[test]
    fn every_photo_has_one_node_and_every_node_a_photo() {
        for way in ["equal", "class", "dirichlet:0.3", "dirichlet:0.001", "dirichlet:1000"] {
            let way: ShareOut = way.parse().unwrap();
            for nodes in [1, 3, 100] {
                let dealt = way.deal(&shown(), nodes, 5).unwrap();
                let mut all: Vec<usize> = dealt.concat();
                all.sort_unstable();
                assert_eq!(all, (0..100).collect::<Vec<_>>(), "{way} among {nodes}");
                assert!(dealt.iter().all(|photos| !photos.is_empty()), "{way} among {nodes}");
            }
        }
        assert!(ShareOut::Equal.deal(&shown(), 101, 0).is_err() && ShareOut::Equal.deal(&shown(), 0, 0).is_err());
    }

    #[test]
    fn sizes_and_classes_differ_as_they_are_asked_to() {
        let sizes = |way: &str, seed| -> Vec<usize> {
            way.parse::<ShareOut>().unwrap().deal(&shown(), 5, seed).unwrap().iter().map(Vec::len).collect()
        };
        assert_eq!(sizes("equal", 1), [20; 5]);
        let mut largest = 0;
        for seed in 0..20 {
            assert!(sizes("dirichlet:10000", seed).iter().all(|n| (5..=40).contains(n)));
            largest += sizes("dirichlet:0.05", seed).into_iter().max().unwrap();
        }
        assert!(largest > 20 * 40, "the largest of five nodes has {largest} of 2000 photos");
        let by_class = ShareOut::ByClass.deal(&shown(), 5, 1).unwrap();
        let with_rarest = by_class.iter().filter(|photos| photos.iter().any(|i| i % 10 == 0)).count();
        assert_eq!(with_rarest, 1);
        assert_ne!(ShareOut::Equal.deal(&shown(), 5, 1).unwrap(), ShareOut::Equal.deal(&shown(), 5, 2).unwrap());
    }

    #[test]
    fn gamma_draws_have_their_mean() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        for shape in [0.3, 1.0, 4.0] {
            let mean = (0..20_000).map(|_| log_gamma_draw(shape, &mut rng).exp()).sum::<f64>() / 20_000.0;
            assert!((mean - shape).abs() < 0.05 * shape.max(0.5), "{shape}: {mean}");
        }
    }

    #[test]
    fn ways_are_read_from_text_and_others_are_told() {
        assert_eq!("dirichlet:0.3".parse::<ShareOut>().unwrap().to_string(), "dirichlet:0.3");
        for bad in ["dirichlet", "dirichlet:0", "dirichlet:x", "dirichlet:NaN", "even", ""] {
            assert!(bad.parse::<ShareOut>().is_err(), "{bad}");
        }
    }
}
