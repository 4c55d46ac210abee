//! Fine-tunes a detector on a folder of labelled photos: `cargo run --release --example train photos detector.onnx`

use fieldtune::{Progress, Training};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(photos), Some(weights)) = (arguments.next(), arguments.next()) else {
        return Err("usage: train PHOTOS WEIGHTS".into());
    };
    let show = |progress| match progress {
        Progress::Step { step, total, loss, .. } if step % 50 == 0 => {
            println!("step {step} of {total}, loss {loss:.2}")
        }
        Progress::Epoch { epoch, ap: Some(ap), .. } => println!("epoch {epoch}: AP {ap:.3}"),
        _ => {}
    };
    let trained =
        Training::new(photos, weights).set("[recipe]\nepochs = 10\npatience = 3\n")?.on_progress(show).run()?;
    println!("AP {:.3} after {} epochs: {}", trained.ap.unwrap_or(0.0), trained.epochs, trained.best.display());
    Ok(())
}
