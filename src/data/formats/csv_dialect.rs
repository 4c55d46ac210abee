//! The dialect of a table of boxes: its delimiter, and the meaning of its columns.
//!
//! Tools call one column by many names. Without a heading the columns are told by what is in them: a photo's name, a
//! class, four or six numbers.

use super::super::box_form::WrittenBox;
use super::super::paths::{file_name, is_image_extension};

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

const FILE: [&str; 16] = [
    "filename",
    "file_name",
    "file",
    "image",
    "image_name",
    "imagename",
    "image_path",
    "imagepath",
    "path",
    "img",
    "img_path",
    "image_id",
    "imageid",
    "img_name",
    "frame",
    "photo",
];
const CLASS: [&str; 13] = [
    "class",
    "label",
    "class_name",
    "classname",
    "category",
    "name",
    "labelname",
    "label_name",
    "category_name",
    "object_class",
    "annotation_tag",
    "class_label",
    "classid",
];
const SPLIT: [&str; 6] = ["split", "set", "subset", "usage", "partition", "fold"];
const CORNERS: [[&str; 9]; 4] = [
    ["xmin", "x_min", "x1", "x0", "left", "bbox_xmin", "bbox_x1", "xtl", "upper_left_corner_x"],
    ["ymin", "y_min", "y1", "y0", "top", "bbox_ymin", "bbox_y1", "ytl", "upper_left_corner_y"],
    ["xmax", "x_max", "x2", "x1", "right", "bbox_xmax", "bbox_x2", "xbr", "lower_right_corner_x"],
    ["ymax", "y_max", "y2", "y1", "bottom", "bbox_ymax", "bbox_y2", "ybr", "lower_right_corner_y"],
];
const CENTRED: [[&str; 6]; 4] = [
    ["x_center", "xcenter", "x_centre", "center_x", "cx", "bbox_x_center"],
    ["y_center", "ycenter", "y_centre", "center_y", "cy", "bbox_y_center"],
    ["bbox_width", "box_width", "bbox_w", "box_w", "w", "width"],
    ["bbox_height", "box_height", "bbox_h", "box_h", "h", "height"],
];
/// Left, top, width and height in one field, as `[x, y, w, h]`.
const IN_ONE: [&str; 3] = ["bbox", "box", "bounding_box"];
const SIZED: [[&str; 6]; 4] = [
    ["bbox_x", "x", "xmin", "left", "x_min", "x1"],
    ["bbox_y", "y", "ymin", "top", "y_min", "y1"],
    ["bbox_width", "bbox_w", "w", "box_width", "box_w", "width_box"],
    ["bbox_height", "bbox_h", "h", "box_height", "box_h", "height_box"],
];
const WIDTH: [&str; 4] = ["width", "image_width", "img_width", "imagewidth"];
const HEIGHT: [&str; 4] = ["height", "image_height", "img_height", "imageheight"];

/// The columns of a table, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvColumns {
    pub file: usize,
    pub class: usize,
    pub numbers: [usize; 4],
    /// The meaning of the four numbers.
    pub form: WrittenBox,
    /// True if all four stand in one field.
    pub in_one: bool,
    /// The split that a row speaks of.
    pub split: Option<usize>,
    pub size: Option<[usize; 2]>,
    /// `IsGroupOf` of OpenImages: a crowd.
    pub group: Option<usize>,
    /// True if the numbers are fractions of the image, as OpenImages has them.
    pub fractions: bool,
    /// Number of columns.
    pub count: usize,
    /// True if the first line is a heading.
    pub heading: bool,
}

/// The delimiter of a table by its first line: the one that divides it most.
pub fn delimiter(text: &str) -> u8 {
    let line = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let count = |d: &char| line.matches(*d).count();
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(',') as u8
}

/// The columns by the names in a heading. The text says what is missing.
pub fn by_heading(heading: &[String]) -> Result<CsvColumns, String> {
    let heading: Vec<String> =
        heading.iter().map(|h| h.trim().trim_matches('"').to_lowercase().replace([' ', '-'], "_")).collect();
    let find = |names: &[&str]| names.iter().find_map(|n| heading.iter().position(|h| h == n));
    let missing = |name: &str| format!("no column {name:?} in the heading {:?}", heading.join(","));
    let file = find(&FILE).ok_or_else(|| missing("filename"))?;
    // OpenImages has a code in LabelName and, in some exports, the name beside it.
    let class = find(&["classname", "class_name"]).or_else(|| find(&CLASS)).ok_or_else(|| missing("class"))?;
    let four = |names: Vec<&[&str]>| -> Option<[usize; 4]> {
        let found: Option<Vec<usize>> = names.into_iter().map(find).collect();
        let found: [usize; 4] = found?.try_into().ok()?;
        let distinct = (0..4).all(|i| found[..i].iter().all(|other| *other != found[i]));
        distinct.then_some(found)
    };
    // x1 is the right side beside x0 and the left one beside x2.
    let second = heading.iter().any(|h| h == "x2");
    let corners =
        CORNERS.map(|names| names.into_iter().filter(|n| !(second && matches!(*n, "x0" | "y0"))).collect::<Vec<_>>());
    let upper =
        |i: usize| corners[i].iter().copied().filter(|n| !(second && matches!(*n, "x1" | "y1"))).collect::<Vec<_>>();
    let lower =
        |i: usize| corners[i].iter().copied().filter(|n| second || !matches!(*n, "x1" | "y1")).collect::<Vec<_>>();
    let (l0, l1, u2, u3) = (lower(0), lower(1), upper(2), upper(3));
    let (width, height) = (find(&WIDTH), find(&HEIGHT));
    let as_corners = four(vec![&l0, &l1, &u2, &u3]);
    let as_sized = || {
        let named = four(SIZED.iter().map(|n| n.as_slice()).collect());
        // Without other columns of that name, width and height are those of the box.
        let plain = four(vec![&SIZED[0], &SIZED[1], &WIDTH[..1], &HEIGHT[..1]]);
        named.or(plain)
    };
    let as_centred = || four(CENTRED.iter().map(|n| n.as_slice()).collect());
    let in_one = || find(&IN_ONE).map(|i| [i; 4]);
    let (numbers, form) = match as_corners {
        Some(numbers) => (numbers, WrittenBox::Corners),
        None => {
            let centred = as_centred().map(|n| (n, WrittenBox::Centre));
            let sized = || as_sized().or_else(in_one).map(|n| (n, WrittenBox::Xywh));
            let absent = || missing(["xmin", "ymin", "xmax", "ymax"][absent(&heading)]);
            centred.or_else(sized).ok_or_else(absent)?
        }
    };
    let size = width.zip(height).map(|(w, h)| [w, h]).filter(|[w, h]| !numbers.contains(w) && !numbers.contains(h));
    let group = find(&["isgroupof"]);
    let fractions = find(&["imageid"]).is_some() && find(&["labelname"]).is_some();
    let (in_one, split) = (numbers[0] == numbers[1], find(&SPLIT));
    let count = heading.len();
    Ok(CsvColumns { file, class, numbers, form, in_one, split, size, group, fractions, count, heading: true })
}

/// The first corner that has no column.
fn absent(heading: &[String]) -> usize {
    CORNERS.iter().position(|names| !names.iter().any(|n| heading.iter().any(|h| h == n))).unwrap_or(0)
}

/// The columns of a table without heading, by its first rows: `path,x1,y1,x2,y2,class` of keras-retinanet,
/// `name,class,x1,y1,x2,y2`, or the eight columns of the common form.
pub fn by_content(rows: &[Vec<String>]) -> Option<CsvColumns> {
    let rows: Vec<&Vec<String>> = rows.iter().filter(|r| r.iter().skip(1).any(|f| !f.is_empty())).collect();
    let count = rows.first().map(|r| r.len()).filter(|n| (6..=8).contains(n))?;
    if rows.iter().any(|r| r.len() != count) {
        return None;
    }
    let all = |i: usize, test: &dyn Fn(&str) -> bool| rows.iter().all(|r| test(r[i].trim()));
    let is_photo = |f: &str| is_image_extension(file_name(&f.replace('\\', "/")));
    let is_number = |f: &str| f.parse::<f64>().is_ok_and(f64::is_finite);
    let file = (0..count).find(|i| all(*i, &is_photo))?;
    let numbers: Vec<usize> = (0..count).filter(|i| all(*i, &is_number)).collect();
    let texts: Vec<usize> = (0..count).filter(|i| *i != file && !numbers.contains(i)).collect();
    // A class may be a number, too: then it is the last of five.
    let (class, numbers) = match (texts.as_slice(), numbers.as_slice()) {
        ([class], numbers) if matches!(numbers.len(), 4 | 6) => (*class, numbers.to_vec()),
        ([], [a, b, c, d, class]) if *class == count - 1 => (*class, vec![*a, *b, *c, *d]),
        _ => return None,
    };
    let (size, corners, form) = match *numbers.as_slice() {
        [a, b, c, d, e, f] => six(&rows, [a, b, c, d, e, f], file)?,
        [a, b, c, d] => (None, [a, b, c, d], WrittenBox::Corners),
        _ => return None,
    };
    Some(CsvColumns {
        file,
        class,
        numbers: corners,
        form,
        in_one: false,
        split: None,
        size,
        group: None,
        fractions: false,
        count,
        heading: false,
    })
}

type Six = (Option<[usize; 2]>, [usize; 4], WrittenBox);

/// Six numbers are a box and its image's size, in the order in which (nearly) all boxes lie inside their images:
/// `w,h,x0,y0,x1,y1`, `x0,y0,x1,y1,w,h`, or `x,y,w,h,W,H` of makesense.ai, whose name stands behind the box. `None` if no
/// order fits.
fn six(rows: &[&Vec<String>], [a, b, c, d, e, f]: [usize; 6], file: usize) -> Option<Six> {
    let orders = [
        ([a, b], [c, d, e, f], WrittenBox::Corners),
        ([e, f], [a, b, c, d], WrittenBox::Xywh),
        ([e, f], [a, b, c, d], WrittenBox::Corners),
    ];
    let number = |row: &Vec<String>, i: usize| row[i].trim().parse::<f64>().unwrap_or(f64::NAN);
    let fits = |(size, numbers, form): &([usize; 2], [usize; 4], WrittenBox)| {
        let inside = |r: &&&Vec<String>| form.fits(numbers.map(|i| number(r, i)), size.map(|i| number(r, i)), 1.0);
        rows.iter().filter(inside).count() * 50 >= rows.len() * 49
    };
    let mut fitting: Vec<_> = orders.into_iter().filter(fits).collect();
    if file < d {
        // Tables that begin with the name have corners, more often than not.
        fitting.sort_by_key(|(_, _, form)| *form == WrittenBox::Xywh);
    }
    fitting.first().map(|(size, numbers, form)| (Some(*size), *numbers, *form))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(text: &str) -> Result<CsvColumns, String> {
        by_heading(&text.split(',').map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn headings_of_many_tools_are_understood() {
        for (text, file, class, numbers, form, size) in [
            ("filename,width,height,class,xmin,ymin,xmax,ymax", 0, 3, [4, 5, 6, 7], WrittenBox::Corners, Some([1, 2])),
            ("image,xmin,ymin,xmax,ymax,label", 0, 5, [1, 2, 3, 4], WrittenBox::Corners, None),
            ("Image_Path,x1,y1,x2,y2,Class Name", 0, 5, [1, 2, 3, 4], WrittenBox::Corners, None),
            ("x0,y0,x1,y1,label,file", 5, 4, [0, 1, 2, 3], WrittenBox::Corners, None),
            (
                "image_name,bbox_x,bbox_y,bbox_width,bbox_height,label_name,image_width,image_height",
                0,
                5,
                [1, 2, 3, 4],
                WrittenBox::Xywh,
                Some([6, 7]),
            ),
            ("Frame,left,top,right,bottom,label", 0, 5, [1, 2, 3, 4], WrittenBox::Corners, None),
            ("image_name,object class,X_Min,Y_Min,X_Max,Y_Max", 0, 1, [2, 3, 4, 5], WrittenBox::Corners, None),
            ("filename,class,x_center,y_center,width,height", 0, 1, [2, 3, 4, 5], WrittenBox::Centre, None),
            ("image_id,label,bbox,width,height", 0, 1, [2, 2, 2, 2], WrittenBox::Xywh, Some([3, 4])),
            (
                "Filename,Annotation tag,Upper left corner X,Upper left corner Y,Lower right corner X,Lower right corner Y",
                0,
                1,
                [2, 3, 4, 5],
                WrittenBox::Corners,
                None,
            ),
            ("file,label,x,y,width,height", 0, 1, [2, 3, 4, 5], WrittenBox::Xywh, None),
            (
                "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf,ClassName",
                0,
                9,
                [4, 6, 5, 7],
                WrittenBox::Corners,
                None,
            ),
        ] {
            let c = heading(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((c.file, c.class, c.numbers, c.form, c.size), (file, class, numbers, form, size), "{text}");
        }
        assert!(heading("filename,class,xmin,xmax,ymax").expect_err("no ymin").starts_with("no column \"ymin\""));
    }

    #[test]
    fn columns_without_heading_are_told_by_their_content() {
        let rows = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|l| l.split(',').map(str::to_string).collect()).collect()
        };
        let found = |text: &str| by_content(&rows(text)).map(|c| (c.file, c.class, c.numbers, c.size));
        assert_eq!(found("/a/1.jpg,1,2,3,4,cat\n/a/2.jpg,,,,,"), Some((0, 5, [1, 2, 3, 4], None)));
        assert_eq!(found("1.jpg,cat,1,2,3,4"), Some((0, 1, [2, 3, 4, 5], None)));
        assert_eq!(found("1.jpg,640,480,cat,1,2,3,4"), Some((0, 3, [4, 5, 6, 7], Some([1, 2]))));
        assert_eq!(found("1.jpg,cat,10,20,30,40,640,480"), Some((0, 1, [2, 3, 4, 5], Some([6, 7]))));
        let makesense = rows("cat,300,20,30,40,1.jpg,640,480\ndog,10,200,300,90,2.jpg,640,480");
        let found_there = by_content(&makesense).map(|c| (c.file, c.class, c.numbers, c.form, c.size));
        assert_eq!(found_there, Some((5, 0, [1, 2, 3, 4], WrittenBox::Xywh, Some([6, 7]))));
        assert_eq!(found("1.jpg,cat,900,20,30,40,640,480"), None, "no order of these fits");
        assert_eq!(found("1.jpg,1,2,3,4,0"), Some((0, 5, [1, 2, 3, 4], None)));
        assert_eq!(found("a,b\nc,d"), None);
        assert_eq!(delimiter("filename;class;a,b"), b';');
    }
}
