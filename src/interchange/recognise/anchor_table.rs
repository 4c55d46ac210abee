//! The rule behind a table of anchors: a known one if it gives the same numbers, else shapes on cells.

use crate::boxes::{AnchorRule, Anchors, CellAnchors, CenterBox};

/// How far a rule may be from a file's numbers, in fractions of the image.
const NEAR: f64 = 1e-4;

/// The feature maps that anchors stand on.
pub struct AnchorMaps<'a> {
    /// `[height, width]` in cells.
    pub cells: &'a [[usize; 2]],
    pub per_cell: &'a [usize],
    /// `[height, width]` of the input in pixels.
    pub size: [usize; 2],
}

/// Rules that many files follow.
pub fn known() -> [AnchorRule; 3] {
    [AnchorRule::Tf { reduced_lowest: true }, AnchorRule::Tf { reduced_lowest: false }, AnchorRule::PytorchSsd]
}

impl AnchorMaps<'_> {
    /// Anchors in all.
    pub fn count(&self) -> usize {
        self.cells.iter().zip(self.per_cell).map(|([h, w], n)| h * w * n).sum()
    }

    /// The anchors of `rule`, if it has as many on each cell.
    pub fn anchors(&self, rule: &AnchorRule) -> Option<Anchors> {
        let fits = self.per_cell.iter().enumerate().all(|(i, &n)| rule.anchors_per_cell(i) == n);
        Anchors::of(rule, self.cells, self.size).ok().filter(|_| fits)
    }

    /// The rule that gives `table` within [`NEAR`].
    pub fn rule_of(&self, table: &[CenterBox]) -> Option<AnchorRule> {
        if table.len() != self.count() {
            return None;
        }
        let gives = |rule: &AnchorRule| self.anchors(rule).is_some_and(|a| are_near(a.centers(), table));
        let cells = [false, true].into_iter().filter_map(|clipped| self.shapes(table, clipped));
        known().into_iter().chain(cells).find(gives)
    }

    /// Shapes read off the middle cell of every map, centres off the first cells.
    fn shapes(&self, table: &[CenterBox], clipped: bool) -> Option<AnchorRule> {
        let mut maps = Vec::with_capacity(self.cells.len());
        let mut first = 0;
        for (&[rows, columns], &n) in self.cells.iter().zip(self.per_cell) {
            let cell = |row: usize, column: usize| table.get(first + (row * columns + column) * n..)?.get(..n);
            let middle = cell(rows / 2, columns / 2)?;
            // Two neighbours in the middle, where nothing is clipped.
            let axis = |cells: usize, at: &dyn Fn(usize) -> Option<f64>| -> Option<[f64; 2]> {
                let i = cells / 2;
                let step = if cells > 1 { at(i)? - at(i - 1)? } else { 1.0 };
                Some([step * cells as f64, at(i)? / step - i as f64])
            };
            let [step_x, offset_x] = axis(columns, &|i| Some(cell(rows / 2, i)?.first()?.cx))?;
            let [step_y, offset_y] = axis(rows, &|i| Some(cell(i, columns / 2)?.first()?.cy))?;
            let shapes = middle.iter().map(|a| [a.w, a.h]).collect();
            maps.push(CellAnchors { shapes, step: [step_x, step_y], offset: [offset_x, offset_y] });
            first += rows * columns * n;
        }
        Some(AnchorRule::Cells { maps, clipped })
    }
}

fn are_near(a: &[CenterBox], b: &[CenterBox]) -> bool {
    let near = |(a, b): (&CenterBox, &CenterBox)| {
        [a.cx - b.cx, a.cy - b.cy, a.w - b.w, a.h - b.h].iter().all(|d| d.abs() <= NEAR)
    };
    a.len() == b.len() && a.iter().zip(b).all(near)
}

/// The positive factor between two columns of numbers that are the same up to it, if they are.
pub fn factor(column: &[f32], of: impl ExactSizeIterator<Item = f64> + Clone) -> Option<f64> {
    let largest = of.clone().fold(0.0f64, |m, v| m.max(v.abs()));
    let at = of.clone().position(|v| v.abs() == largest)?;
    let factor = f64::from(*column.get(at)?) / largest;
    let near =
        column.len() == of.len() && column.iter().zip(of).all(|(&c, v)| (f64::from(c) - v * factor).abs() <= NEAR);
    (near && factor.is_finite() && factor > 0.01).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: [[usize; 2]; 6] = [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]];

    #[test]
    fn a_table_leads_back_to_its_rule() {
        let own = AnchorRule::Cells {
            maps: vec![CellAnchors { shapes: vec![[0.1, 0.2], [0.3, 0.1]], step: [0.9, 1.0], offset: [0.4, 0.5] }; 6],
            clipped: false,
        };
        for rule in known().into_iter().chain([own]) {
            let per_cell: Vec<usize> = (0..6).map(|i| rule.anchors_per_cell(i)).collect();
            let maps = AnchorMaps { cells: &MAPS, per_cell: &per_cell, size: [300, 300] };
            let table = maps.anchors(&rule).unwrap().centers().to_vec();
            let found = maps.rule_of(&table).unwrap();
            let again = maps.anchors(&found).unwrap();
            assert!(are_near(again.centers(), &table), "{found}");
            assert_eq!(matches!(found, AnchorRule::Cells { .. }), matches!(rule, AnchorRule::Cells { .. }));
            let mut moved = table.clone();
            moved[40].cx += 0.01;
            assert_eq!(maps.rule_of(&moved), None);
            assert_eq!(maps.rule_of(&table[1..]), None);
        }
    }

    #[test]
    fn columns_are_compared_up_to_a_factor() {
        let of = [0.2, 0.4, 1.0];
        assert_eq!(factor(&[0.1, 0.2, 0.5], of.iter().copied()), Some(0.5));
        assert_eq!(factor(&[0.1, 0.3, 0.5], of.iter().copied()), None);
        assert_eq!(factor(&[-0.2, -0.4, -1.0], of.iter().copied()), None);
    }
}
