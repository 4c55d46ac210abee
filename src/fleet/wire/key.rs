//! A node's key: an ECDSA key on the curve P-256, which signs every request.

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Longest key file that is read.
const LONGEST_FILE: u64 = 16 << 10;

/// Random draws until one is a key; one in 2^32 is none.
const DRAWS: usize = 8;

/// Signs requests; whoever holds it is the node.
pub struct NodeKey {
    signing: SigningKey,
    /// PEM, as it is registered with a SuperLink.
    public_pem: String,
}

impl NodeKey {
    /// Reads the key in a file, or makes one there, readable by its owner only. The public half is put beside it as
    /// `NAME.pub`, to be registered with a SuperLink that wants that.
    ///
    /// # Errors
    /// If the file is no such key, or cannot be read or written.
    pub fn load_or_make(path: &Path) -> Result<Self> {
        match File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error).with_context(|| format!("{}: cannot open", path.display())),
        }
    }

    fn load(path: &Path, file: File) -> Result<Self> {
        refuse_shared(path, &file)?;
        let mut pem = String::new();
        file.take(LONGEST_FILE).read_to_string(&mut pem).with_context(|| format!("{}: cannot read", path.display()))?;
        let key = SecretKey::from_pkcs8_pem(&pem).map_err(|error| {
            anyhow!(
                "{}: no private key ({error}), expected PKCS #8 in PEM form with a key on the curve P-256\nhelp: make one \
                 with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, or remove the file: a new one is made",
                path.display()
            )
        })?;
        Self::of(&key)
    }

    fn make(path: &Path) -> Result<Self> {
        let key = draw()?;
        let own = Self::of(&key)?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow!("cannot write a key: {error}"))?;
        // The private half comes last: where it is, the public one is as well.
        let public = path.with_extension("pub");
        let refused = |file: &Path| format!("{}: cannot write, check that the folder is writable", file.display());
        fs::write(&public, &own.public_pem).with_context(|| refused(&public))?;
        let written = private_file(path).and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        });
        written.with_context(|| refused(path))?;
        Ok(own)
    }

    fn of(key: &SecretKey) -> Result<Self> {
        let public_pem = key.public_key().to_public_key_pem(LineEnding::LF);
        let public_pem = public_pem.map_err(|error| anyhow!("cannot write a public key: {error}"))?;
        Ok(Self { signing: SigningKey::from(key), public_pem })
    }

    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// Base64 of the public key's PEM form, as the request's head has it.
    pub fn public_header(&self) -> String {
        STANDARD.encode(&self.public_pem)
    }

    /// Base64 of the signature of a text (ECDSA with SHA-256, in DER form).
    pub fn sign(&self, text: &str) -> String {
        let signature: Signature = self.signing.sign(text.as_bytes());
        STANDARD.encode(signature.to_der().as_bytes())
    }
}

fn draw() -> Result<SecretKey> {
    for _ in 0..DRAWS {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
    bail!("the system's random numbers make no key")
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// # Errors
/// If others than the owner may read the key.
#[cfg(unix)]
fn refuse_shared(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().with_context(|| format!("{}: cannot read", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), mode & 0o777);
        bail!("{path}: its mode is {mode:o}, so others may read the private key, expected 600\nhelp: chmod 600 {path}");
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_shared(_path: &Path, _file: &File) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier;

    #[test]
    fn a_key_is_made_once_and_signs_what_its_public_half_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let made = NodeKey::load_or_make(&path).unwrap();
        let again = NodeKey::load_or_make(&path).unwrap();
        assert_eq!(made.public_pem(), again.public_pem());
        assert_eq!(fs::read_to_string(folder.path().join("node.pub")).unwrap(), made.public_pem());
        let signature = Signature::from_der(&STANDARD.decode(again.sign("2026-12-01")).unwrap()).unwrap();
        let verifying = VerifyingKey::from(&made.signing);
        assert!(
            verifying.verify(b"2026-12-01", &signature).is_ok() && verifying.verify(b"2026-12-02", &signature).is_err()
        );
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_may_read_and_files_that_are_none_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        NodeKey::load_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = NodeKey::load_or_make(&path).err().unwrap().to_string();
        assert!(error.contains("its mode is 644") && error.contains("help: chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "hello").unwrap();
        let error = NodeKey::load_or_make(&path).err().unwrap().to_string();
        assert!(error.contains("no private key") && error.contains("\nhelp: "), "{error}");
    }
}
