//! The classes of a run, and which of them the file that it starts from knows by name.

/// Class names of the data set with the file's index of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedClasses {
    names: Vec<String>,
    /// For each name the index among the file's classes, the background not counted.
    known: Vec<Option<usize>>,
}

impl WantedClasses {
    /// # Panics
    /// If there are not as many indices as names.
    pub fn new(names: Vec<String>, known: Vec<Option<usize>>) -> Self {
        assert_eq!(names.len(), known.len(), "one index, or none, for each class");
        Self { names, known }
    }

    /// Classes of which the file knows none.
    pub fn all_new(names: Vec<String>) -> Self {
        let known = vec![None; names.len()];
        Self { names, known }
    }

    /// Columns of the class predictors, background included.
    pub fn columns(&self) -> usize {
        self.names.len() + 1
    }

    pub fn known(&self) -> &[Option<usize>] {
        &self.known
    }

    /// True if these are the file's classes in the file's order, `columns` being the file's with the background.
    pub(super) fn are_the_files(&self, columns: usize) -> bool {
        columns == self.columns() && self.known.iter().enumerate().all(|(i, known)| *known == Some(i))
    }

    pub(super) fn any_known(&self) -> bool {
        self.known.iter().any(Option::is_some)
    }

    /// `3 of 5 classes kept from the file: car, dog, person; new: cat, bird`.
    pub(super) fn note(&self) -> String {
        let of = |is_known: bool| {
            let pairs = self.names.iter().zip(&self.known).filter(|(_, known)| known.is_some() == is_known);
            pairs.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        let (kept, new) = (of(true), of(false));
        let mut note =
            format!("{} of {} classes kept from the file: {}", kept.len(), self.names.len(), kept.join(", "));
        if !new.is_empty() {
            note += &format!("; new: {}", new.join(", "));
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_names_kept_and_new_classes() {
        let names: Vec<String> = ["car", "cat", "dog"].map(String::from).to_vec();
        let some = WantedClasses::new(names.clone(), vec![Some(4), None, Some(0)]);
        assert_eq!(some.note(), "2 of 3 classes kept from the file: car, dog; new: cat");
        let all = WantedClasses::new(names.clone(), vec![Some(0), Some(1), Some(2)]);
        assert_eq!(all.note(), "3 of 3 classes kept from the file: car, cat, dog");
        assert!(all.are_the_files(4) && !all.are_the_files(5) && !some.are_the_files(4));
        assert!(some.any_known() && !WantedClasses::all_new(names).any_known());
    }
}
