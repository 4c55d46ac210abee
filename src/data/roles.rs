//! The words that name a split: one role each, however a tool spells it.

use super::paths::{parent, stem};

/// The split a path belongs to by the name of one of its folders (`images/train/7.jpg`, `valid/7.jpg`, `val2017/7.jpg`,
/// `obj_train_data/7.jpg`).
pub fn split_of(name: &str) -> Option<&'static str> {
    let folders = || parent(name).split('/').filter(|f| !f.is_empty());
    folders().find_map(split_name).or_else(|| folders().find_map(role_among_words))
}

/// The split a single word names, digits at its end aside.
pub fn split_name(word: &str) -> Option<&'static str> {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '_').to_ascii_lowercase();
    match word.as_str() {
        "train" | "training" | "trainset" => Some("train"),
        "val" | "valid" | "validation" | "validate" | "eval" | "evaluation" | "dev" | "valset" => Some("val"),
        "test" | "testing" | "testset" => Some("test"),
        "trainval" | "train_val" | "trainvalid" => Some("trainval"),
        _ => None,
    }
}

/// The split a file's own name speaks of, as in `train_labels.csv` or `instances_val2017.json`.
pub fn split_in_file_name(name: &str) -> Option<&'static str> {
    split_name(stem(name)).or_else(|| stem(name).split(|c: char| !c.is_ascii_alphanumeric()).find_map(split_name))
}

/// The role in `obj_train_data` or `VisDrone2019-DET-train`: the only role among words without spaces.
fn role_among_words(folder: &str) -> Option<&'static str> {
    if folder.contains(char::is_whitespace) {
        return None;
    }
    let mut roles = folder.split(['_', '-', '.']).filter_map(split_name);
    let first = roles.next()?;
    roles.all(|role| role == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_splits() {
        assert_eq!(split_of("images/train2017/1.jpg"), Some("train"));
        assert_eq!(split_of("Evaluation/1.jpg"), Some("val"));
        assert_eq!(split_of("obj_valid_data/1.jpg"), Some("val"));
        assert_eq!(split_of("VisDrone2019-DET-train/images/1.jpg"), Some("train"));
        assert_eq!(split_of("field test 3/1.jpg"), None);
        assert_eq!(split_of("train_or_test/1.jpg"), None);
        assert_eq!(split_of("latest/1.jpg"), None);
        assert_eq!(split_in_file_name("raccoon/data/test_labels.csv"), Some("test"));
        assert_eq!(split_in_file_name("eval.csv"), Some("val"));
        assert_eq!(split_in_file_name("raccoon_labels.csv"), None);
    }
}
