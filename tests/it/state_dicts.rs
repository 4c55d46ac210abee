//! State dicts of known networks, as PyTorch's own writers lay them out, made from a network of ours; read back, cut,
//! flipped.

use std::io::Write;
use std::path::Path;

use fieldtune::interchange::{Imported, Scope, import};
use fieldtune::model::{ConvKind, ConvWeights, Padding, Ssd};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use zip::write::SimpleFileOptions;

use crate::onnx::narrow_network;

/// A tensor by name, its dimensions and numbers.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// OIHW of one convolution.
fn weight(name: &str, conv: &ConvWeights) -> Named {
    let spec = &conv.spec;
    let inner = if spec.kind == ConvKind::Depthwise { 1 } else { spec.in_channels };
    let ([kh, kw], out) = (spec.kernel, spec.out_channels);
    let taps = kh * kw;
    let mut oihw = vec![0.0; conv.weight.len()];
    for (i, &w) in conv.weight.iter().enumerate() {
        let (o, rest) = (i % out, i / out);
        oihw[(o * inner + rest % inner) * taps + rest / inner] = w;
    }
    (format!("{name}.weight"), vec![out, inner, kh, kw], oihw)
}

/// A convolution and its batch norm, which together compute what the convolution with its bias did.
fn normed(all: &mut Vec<Named>, names: [&str; 2], conv: &ConvWeights) {
    let (name, dims, mut numbers) = weight(names[0], conv);
    let channels = conv.spec.out_channels;
    let (gamma, variance) = (1.5f64, 0.75f64);
    let factor = gamma / (variance + 1e-5).sqrt();
    numbers.iter_mut().for_each(|w| *w = (f64::from(*w) / factor) as f32);
    let mean: Vec<f32> = (0..channels).map(|c| (c % 5) as f32 / 10.0).collect();
    let beta = conv.bias.iter().zip(&mean).map(|(&b, &m)| (f64::from(b) + f64::from(m) * factor) as f32).collect();
    all.push((name, dims, numbers));
    let parts = [("weight", vec![gamma as f32; channels]), ("bias", beta), ("running_mean", mean)];
    for (part, values) in parts.into_iter().chain([("running_var", vec![variance as f32; channels])]) {
        all.push((format!("{}.{part}", names[1]), vec![channels], values));
    }
}

/// The backbone under torchvision's names.
pub fn torchvision(network: &Ssd<ConvWeights>) -> Vec<Named> {
    let mut all = Vec::new();
    normed(&mut all, ["features.0.0", "features.0.1"], &network.stem);
    for (i, block) in network.blocks.iter().enumerate() {
        let name = |part: &str| format!("features.{}.conv.{part}", i + 1);
        let mut layer = |a: &str, b: &str, conv| normed(&mut all, [&name(a), &name(b)], conv);
        match &block.expand {
            Some(expand) => {
                layer("0.0", "0.1", expand);
                layer("1.0", "1.1", &block.depthwise);
                layer("2", "3", &block.project);
            }
            None => {
                layer("0.0", "0.1", &block.depthwise);
                layer("1", "2", &block.project);
            }
        }
    }
    normed(&mut all, ["features.18.0", "features.18.1"], &network.last);
    all.push(("classifier.1.weight".into(), vec![3, 2], vec![0.5; 6]));
    all
}

/// The same under timm's names.
pub fn timm(network: &Ssd<ConvWeights>) -> Vec<Named> {
    let mut all = Vec::new();
    normed(&mut all, ["conv_stem", "bn1"], &network.stem);
    let mut blocks = network.blocks.iter();
    for (stage, repeats) in [1, 2, 3, 4, 3, 3, 1].into_iter().enumerate() {
        for i in 0..repeats {
            let block = blocks.next().unwrap();
            let name = |part: &str| format!("blocks.{stage}.{i}.{part}");
            let mut layer = |a: &str, b: &str, conv| normed(&mut all, [&name(a), &name(b)], conv);
            match &block.expand {
                Some(expand) => {
                    layer("conv_pw", "bn1", expand);
                    layer("conv_dw", "bn2", &block.depthwise);
                    layer("conv_pwl", "bn3", &block.project);
                }
                None => {
                    layer("conv_dw", "bn1", &block.depthwise);
                    layer("conv_pw", "bn2", &block.project);
                }
            }
        }
    }
    normed(&mut all, ["conv_head", "bn2"], &network.last);
    all
}

pub fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, numbers)| numbers.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, dims, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, dims.clone(), bytes).unwrap();
        (name.clone(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// A pickle as `torch.save` writes it: protocol 2, each storage in an entry of its own.
fn pickled(tensors: &[Named]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let int = |out: &mut Vec<u8>, n: usize| {
        out.push(b'J');
        out.extend((n as i32).to_le_bytes());
    };
    let mut out = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(".to_vec();
    for (key, (name, dims, numbers)) in tensors.iter().enumerate() {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        int(&mut out, numbers.len());
        out.extend(b"tQK\x00(");
        dims.iter().for_each(|&d| int(&mut out, d));
        out.extend(b"t(");
        (0..dims.len()).for_each(|i| int(&mut out, dims[i + 1..].iter().product()));
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u}");
    text(&mut out, "_metadata");
    out.extend(b"}sb.");
    out
}

pub fn pth(tensors: &[Named]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut entry = |name: &str, bytes: &[u8]| {
        archive.start_file(format!("model/{name}"), plain).unwrap();
        archive.write_all(bytes).unwrap();
    };
    entry("data.pkl", &pickled(tensors));
    entry("byteorder", b"little");
    for (key, (_, _, numbers)) in tensors.iter().enumerate() {
        entry(&format!("data/{key}"), &numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    }
    archive.finish().unwrap().into_inner()
}

fn imported(path: &Path, bytes: &[u8]) -> Imported {
    std::fs::write(path, bytes).unwrap();
    import(path).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_backbone_comes_back_from_every_form_of_state_dict() {
    let network = narrow_network();
    let dir = tempfile::tempdir().unwrap();
    // The name's ending does not matter: the bytes tell.
    let path = dir.path().join("weights.bin");
    let prefixed = |tensors: Vec<Named>| tensors.into_iter().map(|(n, d, v)| (format!("module.{n}"), d, v)).collect();
    let whole: Vec<Named> = torchvision(&network);
    let wrapped: Vec<Named> = prefixed(whole.clone());
    let files = [
        ("torchvision, .safetensors", safetensors(&whole)),
        ("torchvision, .pth", pth(&whole)),
        ("torchvision, wrapped", pth(&wrapped)),
        ("timm, .safetensors", safetensors(&timm(&network))),
        ("timm, .pth", pth(&timm(&network))),
    ];
    for (form, bytes) in files {
        let file = imported(&path, &bytes);
        assert!(matches!(file.scope, Scope::Backbone { .. }), "{form}");
        assert_eq!((file.matched.len(), file.input_size), (52, Some([224, 224])), "{form}");
        assert!(file.matched.iter().all(|m| m.tensors.len() == 5), "{form}");
        let [only, assumed] = &file.warnings[..] else { panic!("{form}: {:?}", file.warnings) };
        assert!(only.contains("only the backbone") && assumed.contains("ImageNet's mean"), "{form}: {assumed}");
        // The image's normalisation went into the stem; everything behind it is as it was.
        for ((stage, a), (_, b)) in file.network.convs().into_iter().zip(network.convs()).skip(1) {
            assert_eq!(
                (a.spec.kernel, a.spec.stride, a.spec.activation),
                (b.spec.kernel, b.spec.stride, b.spec.activation)
            );
            if a.spec.stride == 2 {
                assert_eq!(a.spec.padding, Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 }, "{form}");
            }
            for (x, y) in a.weight.iter().zip(&b.weight).chain(a.bias.iter().zip(&b.bias)) {
                assert!((x - y).abs() < 1e-5, "{form}: {stage:?}: {x} is not {y}");
            }
        }
        let [mean, deviation] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
        let out = network.stem.spec.out_channels;
        for (i, (x, y)) in file.network.stem.weight.iter().zip(&network.stem.weight).enumerate() {
            let expected = y * (0.5 / deviation[i / out % 3]) as f32;
            assert!((x - expected).abs() < 1e-5, "{form}: {x} is not {expected}");
        }
        let moved: f64 =
            (0..27).map(|i| f64::from(network.stem.weight[i * out]) * (0.5 - mean[i % 3]) / deviation[i % 3]).sum();
        let expected = f64::from(network.stem.bias[0]) + moved;
        assert!((f64::from(file.network.stem.bias[0]) - expected).abs() < 1e-5, "{form}");
    }
}

#[test]
fn what_is_no_state_dict_of_ours_is_said_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.pth");
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        import(&path).err().expect("must be refused").to_string()
    };
    let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    assert!(said(legacy).contains("before version 1.6"), "{}", said(legacy));
    let other = vec![("layer1.0.conv1.weight".to_string(), vec![2, 2], vec![0.0; 4])];
    assert!(said(&pth(&other)).contains("1 tensors of another network (`layer1.0.conv1.weight`"));
    let mut part = torchvision(&narrow_network());
    part.retain(|(name, ..)| !name.starts_with("features.7."));
    assert!(said(&pth(&part)).contains("tensor `features.7.conv."), "{}", said(&pth(&part)));
    let mut wrong = torchvision(&narrow_network());
    wrong[0].1 = vec![16, 27];
    assert!(said(&safetensors(&wrong)).contains("features.0.0.weight"));
    // A program instead of numbers: named, never run.
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("model/data.pkl", SimpleFileOptions::default()).unwrap();
    archive.write_all(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap();
    let program = archive.finish().unwrap().into_inner();
    assert!(said(&program).contains("holds os.system") && said(&program).contains("help:"), "{}", said(&program));
    assert!(said(b"PK\x03\x04nothing behind it").contains("an archive that is damaged"));
}

#[test]
fn a_damaged_byte_order_is_not_called_another_machines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.pth");
    let whole = pth(&torchvision(&narrow_network()));
    let at = whole.windows(6).position(|w| w == b"little").unwrap();
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        import(&path).err().expect("must be refused").to_string()
    };
    let mut flipped = whole.clone();
    flipped[at] ^= 1;
    let text = said(&flipped);
    assert!(text.contains("model/byteorder that ends early") && text.contains("the file is damaged"), "{text}");
    let with = |order: &[u8]| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in [("model/data.pkl", &b"\x80\x02}."[..]), ("model/byteorder", order)] {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        said(&archive.finish().unwrap().into_inner())
    };
    assert!(with(b"big").contains("big-endian machine"), "{}", with(b"big"));
    assert!(with(b"\x1bx").contains("found the byte order `\\x1bx`"), "{}", with(b"\x1bx"));
}

#[test]
fn no_cut_and_no_flipped_bit_makes_the_reader_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    let tensors = torchvision(&narrow_network());
    for (form, whole) in [("pth", pth(&tensors)), ("safetensors", safetensors(&tensors))] {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut refused = 0;
        let structure = if form == "pth" { pickled(&tensors).len() } else { 20_000 };
        for i in 0..600 {
            let mut bytes = whole.clone();
            match i % 4 {
                0 => bytes.truncate(rng.random_range(0..whole.len())),
                // The archive's table stands at the end of the file.
                1 => flip(&mut bytes, whole.len() - 20_000..whole.len(), &mut rng),
                2 => flip(&mut bytes, 0..structure, &mut rng),
                _ => flip(&mut bytes, 0..whole.len(), &mut rng),
            }
            std::fs::write(&path, bytes).unwrap();
            refused += usize::from(import(&path).is_err());
        }
        assert!(refused > 150, "{form}: cut files must be refused, {refused} were");
    }
}

/// Up to twenty bits in a range, the other way round.
pub fn flip(bytes: &mut [u8], range: std::ops::Range<usize>, rng: &mut Pcg64Mcg) {
    for _ in 0..rng.random_range(1..20) {
        let at = rng.random_range(range.clone());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
}
