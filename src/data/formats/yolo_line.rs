//! One line of a YOLO label file: a box, a polygon, a rotated box, or a box with key points.

use super::shapes::around;

/// Numbers of a box with its class.
const BOX: usize = 5;
/// Fractions may stick out so far by rounding.
const SLACK: f64 = 0.01;

/// The meaning of the numbers behind the class, for a whole set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// A box, or the corners of a polygon.
    #[default]
    BoxOrPolygon,
    /// A box, then key points: `kpt_shape` of the data.yaml.
    KeyPoints { count: usize, numbers: usize },
    /// A confidence, then a box, as some detectors write.
    ScoreFirst,
    /// A box, a confidence if there are seven numbers in all, and the number of a track.
    Track,
}

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YoloShape {
    Box,
    Polygon,
    /// A box and a confidence: what a model predicted.
    Predicted,
}

/// Class, corners in fractions, and what the line is. The text says what is wrong.
pub fn read(line: &str, behind: Behind) -> Result<(usize, [f64; 4], YoloShape), String> {
    let words = words_of(line);
    // Some countries write a comma in the place of the point.
    let plain = |w: &str| if words.len() >= BOX { w.replace(',', ".") } else { w.into() };
    let number = |w: &&str| plain(w).parse::<f64>().ok().filter(|n| n.is_finite()).ok_or(w.to_string());
    let numbers: Result<Vec<f64>, String> = words.iter().map(number).collect();
    let numbers = numbers.map_err(|word| format!("{word:?} is not a number"))?;
    let [class, rest @ ..] = numbers.as_slice() else { return Err("an empty line".into()) };
    if class.fract() != 0.0 || !(0.0..10_000.0).contains(class) {
        return Err(format!("class {class}, expected a whole number from 0"));
    }
    let found = numbers.len();
    let boxed = |[x, y, w, h]: [f64; 4]| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
    let (corners, shape) = match (behind, rest) {
        (_, &[x, y, w, h]) => (boxed([x, y, w, h]), YoloShape::Box),
        (Behind::ScoreFirst, &[_, x, y, w, h]) => (boxed([x, y, w, h]), YoloShape::Predicted),
        (Behind::Track, &[x, y, w, h, _]) => (boxed([x, y, w, h]), YoloShape::Box),
        (Behind::Track, &[x, y, w, h, _, _]) => (boxed([x, y, w, h]), YoloShape::Predicted),
        (Behind::BoxOrPolygon, &[x, y, w, h, score]) if (0.0..=1.0).contains(&score) => {
            (boxed([x, y, w, h]), YoloShape::Predicted)
        }
        (Behind::KeyPoints { count, numbers }, &[x, y, w, h, ..]) if found == BOX + count * numbers => {
            (boxed([x, y, w, h]), YoloShape::Box)
        }
        (Behind::KeyPoints { count, numbers }, _) => {
            let expected = BOX + count * numbers;
            return Err(format!("{found} numbers, expected {expected} (class x y w h, {count} points of {numbers})"));
        }
        // The four corners of a turned box, and a confidence.
        (_, &[ref corners @ .., score]) if corners.len() == 8 && (0.0..=1.0).contains(&score) => {
            let points: Vec<[f64; 2]> = corners.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            (around(&points).ok_or("a turned box without corners")?, YoloShape::Predicted)
        }
        (_, points) if points.len() >= 6 && points.len() % 2 == 0 => {
            let points: Vec<[f64; 2]> = points.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            (around(&points).ok_or("a polygon without points")?, YoloShape::Polygon)
        }
        _ => return Err(format!("{found} numbers, expected 5 (class x y w h) or a class and at least 3 points")),
    };
    Ok((*class as usize, corners, shape))
}

/// The words of a line, without a comment behind them. Where no space divides them, `;` or `,` does.
pub fn words_of(line: &str) -> Vec<&str> {
    let line = line.split('#').next().unwrap_or(line).trim();
    let words: Vec<&str> = line.split_whitespace().map(|w| w.trim_end_matches([',', ';'])).collect();
    if words.len() >= BOX {
        return words;
    }
    let divided = [';', ','].into_iter().map(|d| line.split(d).map(str::trim).collect::<Vec<_>>());
    divided.into_iter().find(|w| w.len() >= BOX && w.iter().all(|w| !w.contains(' '))).unwrap_or(words)
}

/// True if nothing of a line is to be read: it is empty or a comment.
pub fn is_blank(line: &str) -> bool {
    line.split('#').next().is_none_or(|l| l.trim().is_empty())
}

/// The numbers behind the class where no data.yaml tells: if every line has the same count of numbers above that of a
/// box, and the points of no line lie in its own box read as a polygon, but all lie around it, they are key points.
pub fn behind_of(lines: &[&str]) -> Behind {
    let number = |w: &str| w.parse().or_else(|_| w.replace(',', ".").parse()).ok();
    let rows: Vec<Vec<f64>> = lines.iter().map(|l| words_of(l).into_iter().filter_map(number).collect()).collect();
    let Some(len) = rows.first().map(Vec::len).filter(|n| *n > BOX) else { return Behind::BoxOrPolygon };
    if rows.len() < 3 || rows.iter().any(|r| r.len() != len) {
        return Behind::BoxOrPolygon;
    }
    if len == BOX + 1 {
        return behind_of_six(&rows);
    }
    // A polygon of three points has no whole number at every end; tracks have, and a score before it.
    let tracked = |r: &Vec<f64>| is_box(&r[1..]) && (0.0..=1.0).contains(&r[5]) && r[6].fract() == 0.0;
    if len == BOX + 2 && rows.iter().all(tracked) && rows.iter().any(|r| r[6] > 1.0) {
        return Behind::Track;
    }
    if len <= BOX + 3 {
        return Behind::BoxOrPolygon;
    }
    // Three numbers a point: the third is 0, 1 or 2 in every line. A polygon never has that.
    let flags = |r: &Vec<f64>| r[BOX..].chunks_exact(3).all(|p| [0.0, 1.0, 2.0].contains(&p[2]));
    if (len - BOX).is_multiple_of(3) && rows.iter().all(flags) {
        return Behind::KeyPoints { count: (len - BOX) / 3, numbers: 3 };
    }
    Behind::BoxOrPolygon
}

/// True if the first four numbers are centre and size of a box inside the image.
fn is_box(numbers: &[f64]) -> bool {
    let inside = |c: f64, side: f64| side > 0.0 && c - side / 2.0 >= -SLACK && c + side / 2.0 <= 1.0 + SLACK;
    matches!(numbers, [x, y, w, h, ..] if inside(*x, *w) && inside(*y, *h))
}

/// One number more than a box has: that of a track, or a score, which stands behind the box, or before it where only that reading puts
/// (nearly) all boxes inside their images.
fn behind_of_six(rows: &[Vec<f64>]) -> Behind {
    if rows.iter().all(|r| is_box(&r[1..]) && r[5].fract() == 0.0) && rows.iter().any(|r| r[5] > 1.0) {
        return Behind::Track;
    }
    let fitting = |from: usize| rows.iter().filter(|r| is_box(&r[from..])).count();
    let scored = rows.iter().all(|r| (0.0..=1.0).contains(&r[1]));
    let (behind, before) = (fitting(1), fitting(2));
    match scored && before * 50 >= rows.len() * 49 && behind * 10 <= rows.len() * 9 {
        true => Behind::ScoreFirst,
        false => Behind::BoxOrPolygon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_hands_have_the_same_words() {
        for line in ["0 0.5 0.5 0.2 0.2 # cat", "0,0.5,0.5,0.2,0.2", "0, 0.5, 0.5, 0.2, 0.2", "0;0,5;0,5;0,2;0,2"] {
            assert_eq!(read(line, Behind::BoxOrPolygon), Ok((0, [0.4, 0.4, 0.6, 0.6], YoloShape::Box)), "{line}");
        }
        assert!(is_blank("# drawn by hand") && is_blank("  ") && !is_blank("0 0.5"));
    }

    #[test]
    fn scores_before_the_box_and_tracks_behind_it_are_told_over_the_set() {
        let first = ["0 0.91 0.3 0.4 0.2 0.3", "1 0.88 0.2 0.7 0.3 0.2", "1 0.95 0.25 0.6 0.4 0.3"];
        assert_eq!(behind_of(&first), Behind::ScoreFirst);
        let (_, corners, shape) = read(first[0], Behind::ScoreFirst).expect("is one");
        assert!(shape == YoloShape::Predicted && (corners[0] - 0.2).abs() < 1e-9 && (corners[3] - 0.55).abs() < 1e-9);
        assert_eq!(
            behind_of(&["0 0.3 0.4 0.2 0.3 0.9", "1 0.2 0.7 0.3 0.2 0.8", "0 0.5 0.5 0.1 0.1 0.7"]),
            Behind::BoxOrPolygon
        );
        let track = ["0 0.3 0.4 0.2 0.3 0.9 1", "1 0.2 0.7 0.3 0.2 0.8 12", "0 0.5 0.5 0.1 0.1 0.7 3"];
        assert_eq!(behind_of(&track), Behind::Track);
        assert_eq!(read(track[1], Behind::Track).map(|(c, _, s)| (c, s)), Ok((1, YoloShape::Predicted)));
        assert_eq!(behind_of(&["0 0.3 0.4 0.2 0.3 1", "1 0.2 0.7 0.3 0.2 12", "0 0.5 0.5 0.1 0.1 3"]), Behind::Track);
        let triangle = ["0 0.1 0.1 0.5 0.1 0.3 0.5", "0 0.2 0.2 0.6 0.2 0.4 0.6", "0 0.2 0.2 0.6 0.2 0.4 0.7"];
        assert_eq!(behind_of(&triangle), Behind::BoxOrPolygon);
        let turned = read("2 0.1 0.1 0.5 0.1 0.5 0.4 0.1 0.4 0.77", Behind::BoxOrPolygon);
        assert_eq!(turned, Ok((2, [0.1, 0.1, 0.5, 0.4], YoloShape::Predicted)));
    }

    #[test]
    fn lines_that_make_no_sense_say_why() {
        for (line, fault) in [
            ("0 0.5 0.5 0.2 0.2 9", "6 numbers, expected 5 (class x y w h) or a class and at least 3 points"),
            ("0 0.5 0.5", "3 numbers, expected 5"),
            ("cat 0.5 0.5 0.2 0.2", "\"cat\" is not a number"),
            ("0 0.5 nan 0.2 0.2", "\"nan\" is not a number"),
            ("-1 0.5 0.5 0.2 0.2", "class -1, expected a whole number from 0"),
            ("1.5 0.5 0.5 0.2 0.2", "class 1.5, expected a whole number from 0"),
        ] {
            let found = read(line, Behind::BoxOrPolygon).expect_err(line);
            assert!(found.starts_with(fault), "{line}: {found}");
        }
    }

    #[test]
    fn a_confidence_is_told_from_a_polygon_and_a_comma_may_be_a_point() {
        let plain = [0.25, 0.25, 0.75, 0.75];
        assert_eq!(read("2 0.5 0.5 0.5 0.5 0.87", Behind::BoxOrPolygon), Ok((2, plain, YoloShape::Predicted)));
        assert_eq!(read("2 0,5 0,5 0,5 0,5", Behind::BoxOrPolygon), Ok((2, plain, YoloShape::Box)));
        assert!(read("2,0,5,0", Behind::BoxOrPolygon).is_err());
    }

    #[test]
    fn key_points_leave_the_box_and_wrong_counts_are_told() {
        let pose = Behind::KeyPoints { count: 2, numbers: 2 };
        let line = "1 0.5 0.5 0.2 0.4 0.45 0.4 0.99 0.01";
        assert_eq!(read(line, pose), Ok((1, [0.4, 0.3, 0.6, 0.7], YoloShape::Box)));
        assert!(read("1 0.5 0.5 0.2 0.4 0.4", pose).expect_err("odd").contains("2 points of 2"));
        assert_eq!(
            read("0 0.1 0.2 0.5 0.1 0.3 0.9", Behind::BoxOrPolygon),
            Ok((0, [0.1, 0.1, 0.5, 0.9], YoloShape::Polygon))
        );
        let flagged = ["0 .5 .5 .2 .2 .5 .5 2 .4 .4 0"; 3];
        assert_eq!(behind_of(&flagged), Behind::KeyPoints { count: 2, numbers: 3 });
        assert_eq!(behind_of(&["0 .5 .5 .2 .2 .5 .5 .1 .4 .4 .7"; 3]), Behind::BoxOrPolygon);
    }
}
