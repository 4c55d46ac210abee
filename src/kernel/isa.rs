//! Which vector instructions a kernel is compiled for, chosen once at run time.
//!
//! A kernel is one generic inline body; [`per_isa!`] compiles it once per instruction set and picks the widest that
//! this processor has. The bodies are plain loops over fixed-size blocks that the compiler vectorises, so the only
//! thing that differs between the copies is the instructions.

use std::sync::OnceLock;

/// An instruction set that this processor has: only [`Isa::available`] makes one, so holding it is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(super) InstructionSet);

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstructionSet {
    /// What every processor of the target has; on aarch64 that includes NEON and fused multiply-add.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Every instruction set this processor can run, narrowest first. Tests loop over it.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut all = vec![Isa(InstructionSet::Baseline)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Isa(InstructionSet::Avx2));
                let avx512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq");
                if avx512 {
                    all.push(Isa(InstructionSet::Avx512));
                }
            }
        }
        all
    }

    /// The widest available.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa(InstructionSet::Baseline)))
    }
}

/// `a·b + c`, fused where that is one instruction: without the target feature `f32::mul_add` is a library call.
#[inline(always)]
pub(super) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Whether the baseline of this target has a fused multiply-add instruction.
pub(super) const BASELINE_FUSED: bool = cfg!(target_arch = "aarch64");

/// Defines `fn $name(isa, args..)` that runs `$body::<FUSED>(args..)` compiled for `isa`.
macro_rules! per_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::kernel::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                match isa.0 {
                    // SAFETY: an `Isa` beyond the baseline comes from `Isa::available`, which asked the processor.
                    $crate::kernel::isa::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernel::isa::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::kernel::isa::InstructionSet::Baseline => {}
                }
            }
            let _ = isa;
            $body::<{ $crate::kernel::isa::BASELINE_FUSED }>($($arg),*)
        }
    };
}
pub(super) use per_isa;
