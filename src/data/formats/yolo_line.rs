//! One line of a YOLO label file: a box, a polygon, a rotated box, or a box with key points.

use super::shapes::around;

/// Numbers of a box with its class.
const BOX: usize = 5;

/// The meaning of the numbers behind the class, for a whole set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// A box, or the corners of a polygon.
    #[default]
    BoxOrPolygon,
    /// A box, then key points: `kpt_shape` of the data.yaml.
    KeyPoints { count: usize, numbers: usize },
}

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Box,
    Polygon,
    /// A box and a confidence: what a model predicted.
    Predicted,
}

/// Class, corners in fractions, and what the line is. The text says what is wrong.
pub fn read(line: &str, behind: Behind) -> Result<(usize, [f64; 4], Shape), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
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
        (_, &[x, y, w, h]) => (boxed([x, y, w, h]), Shape::Box),
        (Behind::BoxOrPolygon, &[x, y, w, h, score]) if (0.0..=1.0).contains(&score) => {
            (boxed([x, y, w, h]), Shape::Predicted)
        }
        (Behind::KeyPoints { count, numbers }, &[x, y, w, h, ..]) if found == BOX + count * numbers => {
            (boxed([x, y, w, h]), Shape::Box)
        }
        (Behind::KeyPoints { count, numbers }, _) => {
            let expected = BOX + count * numbers;
            return Err(format!("{found} numbers, expected {expected} (class x y w h, {count} points of {numbers})"));
        }
        (Behind::BoxOrPolygon, points) if points.len() >= 6 && points.len() % 2 == 0 => {
            let points: Vec<[f64; 2]> = points.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            (around(&points).ok_or("a polygon without points")?, Shape::Polygon)
        }
        _ => return Err(format!("{found} numbers, expected 5 (class x y w h) or a class and at least 3 points")),
    };
    Ok((*class as usize, corners, shape))
}

/// The numbers behind the class where no data.yaml tells: if every line has the same count of numbers above that of a
/// box, and the points of no line lie in its own box read as a polygon, but all lie around it, they are key points.
pub fn behind_of(lines: &[&str]) -> Behind {
    let rows: Vec<Vec<f64>> =
        lines.iter().map(|l| l.split_whitespace().filter_map(|w| w.parse().ok()).collect()).collect();
    let Some(len) = rows.first().map(Vec::len).filter(|n| *n > BOX + 3) else { return Behind::BoxOrPolygon };
    if rows.len() < 3 || rows.iter().any(|r| r.len() != len) {
        return Behind::BoxOrPolygon;
    }
    // Three numbers a point: the third is 0, 1 or 2 in every line. A polygon never has that.
    let flags = |r: &Vec<f64>| r[BOX..].chunks_exact(3).all(|p| [0.0, 1.0, 2.0].contains(&p[2]));
    if (len - BOX).is_multiple_of(3) && rows.iter().all(flags) {
        return Behind::KeyPoints { count: (len - BOX) / 3, numbers: 3 };
    }
    Behind::BoxOrPolygon
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(read("2 0.5 0.5 0.5 0.5 0.87", Behind::BoxOrPolygon), Ok((2, plain, Shape::Predicted)));
        assert_eq!(read("2 0,5 0,5 0,5 0,5", Behind::BoxOrPolygon), Ok((2, plain, Shape::Box)));
        assert!(read("2,0,5,0", Behind::BoxOrPolygon).is_err());
    }

    #[test]
    fn key_points_leave_the_box_and_wrong_counts_are_told() {
        let pose = Behind::KeyPoints { count: 2, numbers: 2 };
        let line = "1 0.5 0.5 0.2 0.4 0.45 0.4 0.99 0.01";
        assert_eq!(read(line, pose), Ok((1, [0.4, 0.3, 0.6, 0.7], Shape::Box)));
        assert!(read("1 0.5 0.5 0.2 0.4 0.4", pose).expect_err("odd").contains("2 points of 2"));
        assert_eq!(
            read("0 0.1 0.2 0.5 0.1 0.3 0.9", Behind::BoxOrPolygon),
            Ok((0, [0.1, 0.1, 0.5, 0.9], Shape::Polygon))
        );
        let flagged = ["0 .5 .5 .2 .2 .5 .5 2 .4 .4 0"; 3];
        assert_eq!(behind_of(&flagged), Behind::KeyPoints { count: 2, numbers: 3 });
        assert_eq!(behind_of(&["0 .5 .5 .2 .2 .5 .5 .1 .4 .4 .7"; 3]), Behind::BoxOrPolygon);
    }
}
