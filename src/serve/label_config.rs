//! The labels that a project of Label Studio asks for: its labelling interface, as XML.

use crate::data::{Element, parse_xml};

/// A control that draws boxes, and the photo that they are drawn on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxControl {
    /// The name of the `RectangleLabels` tag.
    pub name: String,
    /// The name of the `Image` tag.
    pub image: String,
    /// The key of the photo in a task's data.
    pub key: String,
    /// The labels that may be given.
    pub labels: Vec<String>,
}

/// The first `RectangleLabels` of an interface whose image it has.
pub fn box_control(xml: &str) -> Option<BoxControl> {
    let root = parse_xml(xml).ok()?;
    let mut all = Vec::new();
    flatten(&root, &mut all);
    let controls = all.iter().filter(|element| element.name == "RectangleLabels");
    controls.into_iter().find_map(|control| {
        let image = control.attribute("toName")?;
        let is_image = |element: &&&Element| element.name == "Image" && element.attribute("name") == Some(image);
        let key = all.iter().find(is_image)?.attribute("value")?.strip_prefix('$')?;
        let labels = control.children_named("Label").filter_map(|label| label.attribute("value"));
        Some(BoxControl {
            name: control.attribute("name")?.into(),
            image: image.into(),
            key: key.into(),
            labels: labels.map(str::to_string).collect(),
        })
    })
}

/// All elements; the XML's depth is bounded by its reader.
fn flatten<'a>(element: &'a Element, into: &mut Vec<&'a Element>) {
    into.push(element);
    element.children.iter().for_each(|child| flatten(child, into));
}

impl BoxControl {
    /// The label for a class, in the project's own spelling.
    pub fn label(&self, class: &str) -> Option<&str> {
        let same = |label: &&String| label.to_lowercase() == class.to_lowercase();
        let exact = self.labels.iter().find(|label| *label == class);
        exact.or_else(|| self.labels.iter().find(same)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_of_the_photo_is_found_wherever_it_stands() {
        let xml = r#"<View><Header value="Draw"/><View><RectangleLabels name="other" toName="text"/>
            <RectangleLabels name="boxes" toName="photo"><Label value="Cat" background="red"/><Label value="a &lt; b"/>
            </RectangleLabels></View><Image name="photo" value="$picture" zoom="true"/></View>"#;
        let control = box_control(xml).expect("it is there");
        let names = (control.name.as_str(), control.image.as_str(), control.key.as_str());
        assert_eq!(names, ("boxes", "photo", "picture"));
        assert_eq!(
            (control.label("cat"), control.label("a < b"), control.label("dog")),
            (Some("Cat"), Some("a < b"), None)
        );
        for none in ["", "<View/>", "<View><RectangleLabels name='a' toName='b'/></View>", "<View>", "no XML"] {
            assert_eq!(box_control(none), None, "{none}");
        }
    }
}
