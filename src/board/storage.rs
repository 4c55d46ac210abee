//! Free space on a file system.

use std::path::Path;

/// Bytes that this program may still write where `path` is; `None` where the system does not tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
        let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the path ends with a zero byte, and the structure is large enough by its type.
        let done = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
        if done != 0 {
            return None;
        }
        // SAFETY: all bytes zero is a value of this structure of integers, and the call has filled it in.
        let found = unsafe { found.assume_init() };
        #[allow(clippy::unnecessary_cast)] // their width is the system's
        Some((found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_nowhere_has_none() {
        assert!(free_bytes(tempfile::tempdir().unwrap().path()).is_none_or(|bytes| bytes > 0));
        assert_eq!(free_bytes(Path::new("/nowhere/at/all")), None);
    }
}
