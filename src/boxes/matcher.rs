//! The matcher: which anchor answers for which object.
//!
//! Two steps, the second overriding the first:
//! 1. *Threshold*: an anchor takes the object it overlaps most (the first one on ties) where the IoU reaches 0.5.
//! 2. *Forced*: greedily, the largest IoU among all (object, anchor) pairs gives that anchor to that object, and both
//!    leave; until the objects are used up or nothing overlaps. Ties go to the lower object, then the lower anchor.
//!
//! So every object that overlaps an anchor at all owns at least one, and two objects never share one. Where
//! `min_anchors_per_object` is above 1, a third step repeats the second for the objects that own fewer, over anchors
//! that are still free and overlap by [`TOP_UP_IOU`] at least: small objects often match a single anchor, and one
//! positive among thousands teaches slowly.
//!
//! IoU rows are computed once per object and step; the memory is O(A + G²), not O(G·A).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Anchors, CornerBox};

/// The least IoU at which an anchor is given to an object that owns fewer than `min_anchors_per_object`.
pub const TOP_UP_IOU: f64 = 0.2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// The IoU from which an anchor takes its best object.
    pub iou_threshold: f64,
    /// Anchors that an object should own, where enough of them overlap it.
    pub min_anchors_per_object: usize,
}

impl Default for Matcher {
    fn default() -> Self {
        Self { iou_threshold: 0.5, min_anchors_per_object: 1 }
    }
}

/// The object that every anchor answers for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// `[A]`: index into the image's objects, or `None` for background.
    pub objects: Vec<Option<u32>>,
}

impl Assignment {
    /// (anchor, object) of every anchor that answers for one, in anchor order.
    pub fn positives(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.objects.iter().enumerate().filter_map(|(anchor, object)| object.map(|g| (anchor, g as usize)))
    }

    pub fn positive_count(&self) -> usize {
        self.objects.iter().flatten().count()
    }

    /// `[G]`: how many anchors each of `objects` objects owns.
    pub fn anchors_per_object(&self, objects: usize) -> Vec<usize> {
        let mut counts = vec![0; objects];
        for (_, g) in self.positives() {
            counts[g] += 1;
        }
        counts
    }
}

impl Matcher {
    /// Assigns the anchors of one image to its objects, by the rules in this file's header.
    /// An object without area overlaps nothing and gets no anchor.
    pub fn assign(&self, anchors: &Anchors, objects: &[CornerBox]) -> Assignment {
        let mut owner: Vec<Option<u32>> = vec![None; anchors.len()];
        let mut best = vec![0.0; anchors.len()];
        let mut wishes = Vec::with_capacity(objects.len());
        for (g, object) in objects.iter().enumerate() {
            let overlaps = iou_row(anchors, object);
            for (a, &iou) in overlaps.iter().enumerate() {
                if iou >= self.iou_threshold && iou > best[a] {
                    best[a] = iou;
                    owner[a] = Some(g as u32);
                }
            }
            // At most G - 1 anchors go to other objects first, so G wishes are always enough.
            wishes.push(Wishes::new(overlaps.iter().copied().enumerate().filter(|&(_, iou)| iou > 0.0), objects.len()));
        }
        grant(wishes, &vec![1; objects.len()], &mut owner);

        let mut assignment = Assignment { objects: owner };
        if self.min_anchors_per_object > 1 {
            self.top_up(anchors, objects, &mut assignment);
        }
        assignment
    }

    fn top_up(&self, anchors: &Anchors, objects: &[CornerBox], assignment: &mut Assignment) {
        let counts = assignment.anchors_per_object(objects.len());
        let missing: Vec<usize> = counts.iter().map(|n| self.min_anchors_per_object.saturating_sub(*n)).collect();
        let limit: usize = missing.iter().sum();
        let wishes = objects.iter().zip(&missing).map(|(object, &missing)| {
            if missing == 0 {
                return Wishes::default();
            }
            let overlaps = iou_row(anchors, object);
            let free = overlaps.into_iter().enumerate();
            Wishes::new(free.filter(|&(a, iou)| iou >= TOP_UP_IOU && assignment.objects[a].is_none()), limit)
        });
        grant(wishes.collect(), &missing, &mut assignment.objects);
    }
}

/// `[A]` IoU of every anchor with `object`.
///
/// An anchor's area is taken as w·h of its centre form, which is exact where corner differences round.
fn iou_row(anchors: &Anchors, object: &CornerBox) -> Vec<f64> {
    let area = object.area();
    if area <= 0.0 {
        return vec![0.0; anchors.len()];
    }
    let row = anchors.corners().iter().zip(anchors.centers()).map(|(corners, center)| {
        let intersection = corners.intersection(object);
        if intersection > 0.0 { intersection / (area + center.w * center.h - intersection) } else { 0.0 }
    });
    row.collect()
}

/// The anchors that one object would take, best first: falling IoU, then rising anchor.
#[derive(Default)]
struct Wishes {
    anchors: Vec<(f64, usize)>,
    next: usize,
}

impl Wishes {
    /// The best `limit` of (anchor, IoU) pairs.
    fn new(overlaps: impl Iterator<Item = (usize, f64)>, limit: usize) -> Self {
        let mut anchors: Vec<(f64, usize)> = overlaps.map(|(a, iou)| (iou, a)).collect();
        let best_first = |p: &(f64, usize), q: &(f64, usize)| q.0.total_cmp(&p.0).then(p.1.cmp(&q.1));
        if anchors.len() > limit && limit > 0 {
            anchors.select_nth_unstable_by(limit - 1, best_first);
        }
        anchors.truncate(limit);
        anchors.sort_unstable_by(best_first);
        Self { anchors, next: 0 }
    }

    fn pop(&mut self, object: usize) -> Option<Claim> {
        let &(iou, anchor) = self.anchors.get(self.next)?;
        self.next += 1;
        Some(Claim { iou, object, anchor })
    }
}

/// One (object, anchor) pair; the greatest is granted first: larger IoU, then lower object, then lower anchor.
#[derive(PartialEq)]
struct Claim {
    iou: f64,
    object: usize,
    anchor: usize,
}

impl Eq for Claim {}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_iou = self.iou.total_cmp(&other.iou);
        by_iou.then(other.object.cmp(&self.object)).then(other.anchor.cmp(&self.anchor))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Grants claims greedily, each anchor once, until object g has been granted `wanted[g]` anchors or wishes no more.
///
/// The heap holds each object's best remaining wish only, so its top is the largest remaining pair of all.
fn grant(mut wishes: Vec<Wishes>, wanted: &[usize], owner: &mut [Option<u32>]) {
    let mut granted = vec![false; owner.len()];
    let mut missing = wanted.to_vec();
    let mut claims: BinaryHeap<Claim> = wishes.iter_mut().enumerate().filter_map(|(g, w)| w.pop(g)).collect();
    while let Some(claim) = claims.pop() {
        if !granted[claim.anchor] {
            granted[claim.anchor] = true;
            owner[claim.anchor] = Some(claim.object as u32);
            missing[claim.object] -= 1;
        }
        if missing[claim.object] > 0 {
            claims.extend(wishes[claim.object].pop(claim.object));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssd300() -> Anchors {
        Anchors::tf_ssd(&[19, 10, 5, 3, 2, 1].map(|n| [n, n]))
    }

    /// The rules word by word: a full matrix, searched anew for every object.
    fn naive(anchors: &Anchors, objects: &[CornerBox], threshold: f64) -> Vec<Option<u32>> {
        let mut matrix: Vec<Vec<f64>> = objects.iter().map(|o| iou_row(anchors, o)).collect();
        let mut owner = vec![None; anchors.len()];
        for (a, owner) in owner.iter_mut().enumerate() {
            for (g, row) in matrix.iter().enumerate() {
                if row[a] >= threshold && owner.is_none_or(|o: u32| row[a] > matrix[o as usize][a]) {
                    *owner = Some(g as u32);
                }
            }
        }
        for _ in objects {
            let mut top = (0.0, 0, 0);
            for (g, row) in matrix.iter().enumerate() {
                for (a, &iou) in row.iter().enumerate() {
                    if iou > top.0 {
                        top = (iou, g, a);
                    }
                }
            }
            if top.0 <= 0.0 {
                break;
            }
            owner[top.2] = Some(top.1 as u32);
            matrix[top.1].fill(-1.0);
            matrix.iter_mut().for_each(|row| row[top.2] = -1.0);
        }
        owner
    }

    /// Pseudo-random boxes, some of them repeated so that ties occur.
    fn objects(count: usize, seed: u64) -> Vec<CornerBox> {
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let mut all: Vec<CornerBox> = Vec::new();
        for i in 0..count {
            let (x, y, w, h) = (uniform(), uniform(), uniform() * 0.4 + 0.01, uniform() * 0.4 + 0.01);
            all.push(if i % 5 == 4 { all[i / 2] } else { CornerBox::new(x, y, x + w, y + h) });
        }
        all
    }

    #[test]
    fn equals_the_rules_word_by_word() {
        let anchors = ssd300();
        for (seed, count) in [(1, 1), (2, 3), (3, 12), (4, 40)] {
            let objects = objects(count, seed);
            let got = Matcher::default().assign(&anchors, &objects).objects;
            assert_eq!(got, naive(&anchors, &objects, 0.5), "seed {seed}");
        }
    }

    #[test]
    fn every_object_gets_an_anchor_of_its_own() {
        let anchors = ssd300();
        let crowd = vec![CornerBox::new(0.4, 0.4, 0.5, 0.5); 300];
        for objects in [objects(300, 7), crowd] {
            let assignment = Matcher::default().assign(&anchors, &objects);
            assert!(assignment.anchors_per_object(objects.len()).iter().all(|&n| n >= 1));
        }
    }

    #[test]
    fn objects_without_area_get_no_anchor_and_no_object_none() {
        let anchors = ssd300();
        assert_eq!(Matcher::default().assign(&anchors, &[]).positive_count(), 0);
        let odd = [
            CornerBox::new(0.5, 0.5, 0.5, 0.5),
            CornerBox::new(0.6, 0.6, 0.2, 0.2),
            CornerBox::new(f64::NAN, 0., 1., 1.),
        ];
        assert_eq!(Matcher::default().assign(&anchors, &odd[..2]).positive_count(), 0);
        Matcher::default().assign(&anchors, &odd);
    }

    #[test]
    fn a_small_object_is_topped_up_with_free_anchors_that_overlap_enough() {
        let anchors = ssd300();
        let objects = [CornerBox::new(0.45, 0.45, 0.53, 0.53), CornerBox::new(0.1, 0.1, 0.9, 0.9)];
        let one = Matcher::default().assign(&anchors, &objects);
        assert_eq!(one.anchors_per_object(2)[0], 1);
        for (wanted, owned) in [(2, 2), (3, 3), (8, 3)] {
            let more = Matcher { min_anchors_per_object: wanted, ..Matcher::default() }.assign(&anchors, &objects);
            assert_eq!(more.anchors_per_object(2)[0], owned, "only three anchors overlap it by {TOP_UP_IOU}");
            assert!(one.positives().all(|(a, g)| more.objects[a] == Some(g as u32)), "what is assigned stays");
            assert!(more.positives().all(|(a, g)| anchors.corners()[a].iou(&objects[g]) >= TOP_UP_IOU));
        }
    }
}
