//! The processor's name, from `/proc/cpuinfo`.

use std::fs;
use std::path::Path;

/// Names in the list of features and what they are called otherwise.
const FEATURES: [(&str, &str); 8] = [
    ("asimd", "NEON"),
    ("neon", "NEON"),
    ("asimdhp", "fp16"),
    ("asimddp", "dotprod"),
    ("sve", "SVE"),
    ("i8mm", "i8mm"),
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
];

/// Part numbers of ARM's cores (MIDR) on boards that this is for.
const PARTS: [(&str, &str); 8] = [
    ("0xd03", "Cortex-A53"),
    ("0xd04", "Cortex-A35"),
    ("0xd05", "Cortex-A55"),
    ("0xd07", "Cortex-A57"),
    ("0xd08", "Cortex-A72"),
    ("0xd0b", "Cortex-A76"),
    ("0xd42", "Cortex-A78AE"),
    ("0xd0c", "Neoverse N1"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// The core's name, where it is known.
    pub core: Option<String>,
    pub cores: usize,
    /// Vector features worth knowing.
    pub features: Vec<&'static str>,
}

impl Processor {
    /// `root` is `/` on a board and a fixture tree in tests.
    pub fn read(root: &Path) -> Self {
        let text = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find(|l| l.split(':').next().is_some_and(|n| n.trim() == name))?;
            Some(line.split_once(':')?.1.trim())
        };
        let listed: Vec<&str> =
            value("Features").or(value("flags")).map_or(Vec::new(), |l| l.split_whitespace().collect());
        let mut features: Vec<&'static str> =
            FEATURES.iter().filter(|(name, _)| listed.contains(name)).map(|(_, called)| *called).collect();
        features.dedup();
        let part = value("CPU part").and_then(|part| PARTS.iter().find(|(n, _)| *n == part)).map(|(_, name)| *name);
        let cores = text.lines().filter(|l| l.starts_with("processor")).count();
        Self { core: part.or(value("model name")).map(str::to_string), cores, features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::memory::tests::tree;

    #[test]
    fn cores_say_what_they_are() {
        let of = |text: &str| Processor::read(tree(&[("proc/cpuinfo", text)]).path());
        let pi4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n\nprocessor\t: 1\nCPU part\t: 0xd08\n";
        assert_eq!(of(pi4), Processor { core: Some("Cortex-A72".into()), cores: 2, features: vec!["NEON"] });
        let pi5 = "processor : 0\nFeatures : fp asimd fphp asimdhp asimddp\nCPU part : 0xd0b\n";
        assert_eq!(of(pi5).features, ["NEON", "fp16", "dotprod"]);
        let pc = "processor : 0\nmodel name : EPYC\nflags : sse avx2 avx512f\n";
        assert_eq!(of(pc), Processor { core: Some("EPYC".into()), cores: 1, features: vec!["AVX2", "AVX-512"] });
        assert_eq!(Processor::read(tree(&[]).path()), Processor::default());
    }
}
