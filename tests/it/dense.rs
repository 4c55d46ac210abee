//! Dense convolutions of many channels, as the plain SSD's extras are, against the obvious loops in `f64`.

use crate::kernels::{check_with, fits, layers, spec};
use fieldtune::kernel::KernelKind;
use fieldtune::model::{ConvKind, Padding, ssd_mobilenet_v2};

/// The extras, whose 3x3 kernels have hundreds of input channels on maps of 10x10 to 2x2, and predictors of 1x1 alone.
#[test]
fn every_extra_of_the_plain_ssd_equals_the_reference() {
    let all = layers(&ssd_mobilenet_v2(1.0, 3), 300).into_iter();
    let new = all.filter(|(stage, _)| stage.starts_with("extra") || stage.starts_with("head"));
    let new: Vec<_> = new.collect();
    let dense: Vec<[usize; 3]> =
        new.iter().filter(|(_, g)| g.kind == KernelKind::Dense).map(|(_, g)| [g.h, g.cin, g.cout]).collect();
    assert_eq!(dense, [[10, 256, 512], [5, 128, 256], [3, 128, 256], [2, 64, 128]]);
    check_with(&[1, 2, 3], new);
}

#[test]
fn dense_layers_of_many_channels_equal_the_reference() {
    let pytorch = Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 };
    let lopsided = Padding::Explicit { top: 2, left: 0, bottom: 0, right: 1 };
    let mut cases = Vec::new();
    for [cin, cout] in [[16, 16], [17, 33], [40, 5], [24, 70]] {
        for kernel in [[3, 3], [2, 2], [1, 1], [5, 3]] {
            for (stride, padding) in [(1, Padding::TfSame), (2, Padding::TfSame), (2, pytorch), (2, lopsided)] {
                for (n, size) in [(1, [1, 1]), (2, [2, 3]), (1, [7, 4]), (3, [5, 6])] {
                    let spec = spec(ConvKind::Dense, kernel, stride, padding, [cin, cout]);
                    if fits(&spec, size) {
                        cases.push(("odd dense".into(), spec.geometry([n, size[0], size[1], cin])));
                    }
                }
            }
        }
    }
    // Shared between threads: by columns that three do not divide, and with more pixels than are worked on together.
    for (n, size, channels) in [(1, [8, 11], [65, 70]), (5, [19, 20], [18, 35]), (2, [33, 40], [16, 19])] {
        let spec = spec(ConvKind::Dense, [3, 3], 2, Padding::TfSame, channels);
        cases.push(("forked dense".into(), spec.geometry([n, size[0], size[1], channels[0]])));
    }
    check_with(&[1, 2, 3], cases);
}
