//! Rules of style that hold for comments: a doc comment begins with the thing that it is about.

use crate::sources::sources;

/// Words that begin a clause, not a sentence with a subject.
const CLAUSES: [&str; 7] = ["What ", "Whether ", "Where ", "Which ", "Who ", "Whose ", "Why "];

#[test]
fn doc_comments_begin_with_a_noun() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests/it")) {
        let mut before = "";
        for (i, line) in source.text.lines().map(str::trim_start).enumerate() {
            let first = |mark: &str| line.strip_prefix(mark).filter(|_| !before.starts_with(mark.trim_end()));
            let text = first("/// ").or_else(|| first("//! "));
            if text.is_some_and(|text| CLAUSES.iter().any(|word| text.starts_with(word))) {
                wrong.push(format!("{}:{}: {line}", source.path, i + 1));
            }
            before = line;
        }
    }
    assert!(wrong.is_empty(), "name the thing that is documented:\n{}", wrong.join("\n"));
}

#[test]
fn sentences_of_comments_have_a_subject() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests/it")) {
        for (i, line) in source.text.lines().map(str::trim_start).enumerate() {
            let Some(text) = line.strip_prefix("//") else { continue };
            let text = text.trim_start_matches(['/', '!']).trim_start();
            // A question has its verb behind it; the first clause of a sentence may stand for its time or place.
            let clause = |at: usize| text[at..].starts_with("What ") || text[at..].starts_with("Whether ");
            let starts = text.match_indices(". ").map(|(at, _)| at + 2).chain([0]);
            if starts.into_iter().any(|at| clause(at) && !text[at..].contains('?')) {
                wrong.push(format!("{}:{}: {line}", source.path, i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "name the subject:\n{}", wrong.join("\n"));
}
