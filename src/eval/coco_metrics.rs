//! The twelve figures of COCO detection, and those of each class.
//!
//! A figure is `None` where nothing was there to be found (no object of that class or size at all); pycocotools
//! writes −1 there. In JSON it is null, in the table a dash.

use serde_json::{Map, Value, json};

/// The figures of [`super::coco_eval`]. Average precision and recall are means over the classes that have objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CocoMetrics {
    /// Mean over IoU 0.50, 0.55 .. 0.95.
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    pub ap75: Option<f64>,
    /// Objects below 32² square pixels.
    pub ap_small: Option<f64>,
    /// Objects of 32² to 96² square pixels.
    pub ap_medium: Option<f64>,
    /// Objects above 96² square pixels.
    pub ap_large: Option<f64>,
    /// Recall with one detection per image and class.
    pub ar1: Option<f64>,
    pub ar10: Option<f64>,
    pub ar100: Option<f64>,
    pub ar_small: Option<f64>,
    pub ar_medium: Option<f64>,
    pub ar_large: Option<f64>,
    /// In class order.
    pub classes: Vec<ClassMetrics>,
}

/// The figures of one class, objects of all sizes, 100 detections per image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassMetrics {
    pub name: String,
    /// Objects that count, crowds left out.
    pub objects: usize,
    pub detections: usize,
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    /// Precision at IoU 0.5 where recall first reaches 0.00, 0.01 .. 1.00, made to fall with recall;
    /// empty for a class without objects.
    pub precision50: Vec<f64>,
}

impl CocoMetrics {
    /// The twelve figures under their usual names, in their usual order.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("APs", self.ap_small),
            ("APm", self.ap_medium),
            ("APl", self.ap_large),
            ("AR1", self.ar1),
            ("AR10", self.ar10),
            ("AR100", self.ar100),
            ("ARs", self.ar_small),
            ("ARm", self.ar_medium),
            ("ARl", self.ar_large),
        ]
    }

    /// The interpolated (recall, precision) curve of `class` at IoU 0.5: 101 points, or none without objects.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn pr_curve(&self, class: usize) -> Vec<(f64, f64)> {
        let curve = self.classes[class].precision50.iter().enumerate();
        curve.map(|(i, &precision)| (i as f64 / 100.0, precision)).collect()
    }

    /// `{"AP": .., "AP50": .., .. "ARl": .., "per_class": {"name": {"AP": .., "AP50": ..}, ..}}`.
    ///
    /// Class names are the keys, so they should differ; `coco_json` sees to it.
    pub fn to_json(&self) -> Value {
        let mut top: Map<String, Value> =
            self.figures().map(|(name, figure)| (name.into(), json!(figure))).into_iter().collect();
        let classes = self.classes.iter().map(|c| (c.name.clone(), json!({"AP": c.ap, "AP50": c.ap50})));
        top.insert("per_class".into(), Value::Object(classes.collect()));
        Value::Object(top)
    }

    /// The figures as text for people, one line per class.
    pub fn render_table(&self) -> String {
        let show = |figure: Option<f64>| figure.map_or("-".to_string(), |f| format!("{f:.3}"));
        let mut text = String::new();
        for row in self.figures().chunks(3) {
            let cells: Vec<String> = row.iter().map(|(name, f)| format!("{name:<6}{:<9}", show(*f))).collect();
            text += cells.concat().trim_end();
            text.push('\n');
        }
        let name_width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max("class".len());
        text += &format!("\n{:<name_width$}  objects  detections     AP   AP50\n", "class");
        for c in &self.classes {
            let (ap, ap50) = (show(c.ap), show(c.ap50));
            text += &format!("{:<name_width$}  {:>7}  {:>10}  {ap:>5}  {ap50:>5}\n", c.name, c.objects, c.detections);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> CocoMetrics {
        let cat = ClassMetrics {
            name: "cat".into(),
            objects: 3,
            detections: 20,
            ap: Some(0.5),
            ap50: Some(0.75),
            precision50: vec![1.0; 101],
        };
        let unicorn = ClassMetrics { name: "unicorn".into(), detections: 4, ..ClassMetrics::default() };
        CocoMetrics { ap: Some(0.5), ap50: Some(0.75), classes: vec![cat, unicorn], ..CocoMetrics::default() }
    }

    #[test]
    fn json_has_twelve_figures_and_null_for_what_could_not_be_measured() {
        let json = metrics().to_json();
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        let wanted =
            ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl", "per_class"];
        assert_eq!(keys, wanted);
        assert_eq!(json["AP50"], 0.75);
        assert_eq!(json["APs"], Value::Null);
        assert_eq!(json["per_class"]["cat"], json!({"AP": 0.5, "AP50": 0.75}));
        assert_eq!(json["per_class"]["unicorn"], json!({"AP": null, "AP50": null}));
    }

    #[test]
    fn the_table_lines_up() {
        let wanted = "\
AP    0.500    AP50  0.750    AP75  -
APs   -        APm   -        APl   -
AR1   -        AR10  -        AR100 -
ARs   -        ARm   -        ARl   -

class    objects  detections     AP   AP50
cat            3          20  0.500  0.750
unicorn        0           4      -      -
";
        assert_eq!(metrics().render_table(), wanted);
    }

    #[test]
    fn the_curve_of_a_class_without_objects_is_empty() {
        let metrics = metrics();
        assert_eq!(metrics.pr_curve(0).len(), 101);
        assert_eq!(metrics.pr_curve(0)[50], (0.5, 1.0));
        assert_eq!(metrics.pr_curve(1), []);
    }
}
