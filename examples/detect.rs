//! Finds objects in photos: `cargo run --release --example detect best.onnx photo.jpg ...`

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: detect MODEL PHOTO ...")?;
    let detector = fieldtune::Detector::open(model)?.with_threshold(0.4);
    for path in arguments {
        for found in detector.detect(&image::open(&path)?)? {
            let fieldtune::PixelBox { x0, y0, x1, y1 } = found.bbox;
            println!("{path}: {} {:.2} at {x0:.0} {y0:.0} {x1:.0} {y1:.0}", found.name, found.score);
        }
    }
    Ok(())
}
