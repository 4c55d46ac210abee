//! The vector instructions that a kernel is compiled for, chosen once at run time.
//!
//! Hot kernels are generic over the vectors of [`super::simd`] ([`per_simd!`]); simple passes are plain loops that the
//! compiler vectorises by itself ([`per_isa!`]). Either way one body is compiled once per instruction set.

#[cfg(target_arch = "aarch64")]
pub(in crate::kernel) mod neon;
#[cfg(target_arch = "x86_64")]
pub(in crate::kernel) mod x86;

use super::simd::{Scalar, Simd};
use std::sync::OnceLock;

/// An instruction set that this processor has: only [`Isa::available`] makes one, so holding it is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(in crate::kernel) InstructionSet);

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum InstructionSet {
    /// The instructions that every processor of the target has.
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Every instruction set this processor can run, narrowest first. Tests loop over it.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut all = vec![Isa(InstructionSet::Scalar)];
        #[cfg(target_arch = "aarch64")]
        all.push(Isa(InstructionSet::Neon));
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
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

    /// The one to use: what [`Isa::choose`] was told, else the widest available.
    pub fn best() -> Isa {
        *CHOSEN.get_or_init(|| Isa::available().pop().unwrap_or(Isa(InstructionSet::Scalar)))
    }

    /// Makes [`Isa::best`] return `isa` from now on; false where it was asked already and is another.
    pub fn choose(isa: Isa) -> bool {
        *CHOSEN.get_or_init(|| isa) == isa
    }

    /// `scalar`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            InstructionSet::Scalar => "scalar",
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => "avx512",
        }
    }
}

static CHOSEN: OnceLock<Isa> = OnceLock::new();

/// The same pointer, of which the compiler forgets where it came from.
// Nothing is read or written through it.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[allow(clippy::pointers_in_nomem_asm_block)]
#[inline(always)]
fn opaque(mut pointer: *const f32) -> *const f32 {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags)) };
    pointer
}

/// `a·b + c`, fused where that is one instruction: without the target feature `f32::mul_add` is a library call.
#[inline(always)]
pub(in crate::kernel) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Defines `fn $name(isa, args..)` that runs `$body::<FUSED>(args..)` compiled for `isa`.
macro_rules! per_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis fn $name(isa: $crate::kernel::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
                fn avx512($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                match isa.0 {
                    // SAFETY: an `Isa` beyond the baseline comes from `Isa::available`, which asked the processor.
                    $crate::kernel::isa::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernel::isa::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::kernel::isa::InstructionSet::Scalar => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            if isa.0 == $crate::kernel::isa::InstructionSet::Neon {
                return $body::<true>($($arg),*);
            }
            let _ = isa;
            // Also where the processor could fuse: scalar kernels round alike on all of them.
            $body::<false>($($arg),*)
        }
    };
}
pub(in crate::kernel) use per_isa;

/// Defines `unsafe fn $name(isa, args..)` that runs `$body::<S>(args..)` with the vectors of `isa`, compiled for it.
macro_rules! per_simd {
    ($(#[$doc:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis unsafe fn $name(isa: $crate::kernel::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                unsafe fn avx2($($arg: $ty),*) {
                    // SAFETY: handed on from the caller, and the features are on.
                    unsafe { $body::<$crate::kernel::isa::x86::Avx2>($($arg),*) }
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
                unsafe fn avx512($($arg: $ty),*) {
                    // SAFETY: handed on from the caller, and the features are on.
                    unsafe { $body::<$crate::kernel::isa::x86::Avx512>($($arg),*) }
                }
                match isa.0 {
                    // SAFETY: an `Isa` beyond the baseline comes from `Isa::available`, which asked the processor.
                    $crate::kernel::isa::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernel::isa::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::kernel::isa::InstructionSet::Scalar => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            if isa.0 == $crate::kernel::isa::InstructionSet::Neon {
                // SAFETY: handed on from the caller; every aarch64 processor has NEON.
                return unsafe { $body::<$crate::kernel::isa::neon::Neon>($($arg),*) };
            }
            let _ = isa;
            // SAFETY: handed on from the caller; the portable vectors need nothing.
            unsafe { $body::<$crate::kernel::simd::Scalar>($($arg),*) }
        }
    };
}
pub(in crate::kernel) use per_simd;

/// The value of `$value` with the vectors `$simd` of an instruction set.
macro_rules! of_vectors {
    ($isa:expr, $simd:ident => $value:expr) => {
        match $isa.0 {
            InstructionSet::Scalar => {
                type $simd = Scalar;
                $value
            }
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => {
                type $simd = neon::Neon;
                $value
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                type $simd = x86::Avx2;
                $value
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                type $simd = x86::Avx512;
                $value
            }
        }
    };
}

impl Isa {
    /// Numbers in a vector.
    pub(in crate::kernel) fn lanes(self) -> usize {
        of_vectors!(self, S => S::LANES)
    }

    /// Columns of a panel of a product's right-hand side.
    pub(in crate::kernel) fn panel_columns(self) -> usize {
        of_vectors!(self, S => S::VECTORS * S::LANES)
    }

    /// Channels that a depthwise kernel works on together.
    pub(in crate::kernel) fn channels_together(self) -> usize {
        of_vectors!(self, S => S::WIDE * S::LANES)
    }
}
