//! The Ed25519 keys of checkpoints: making, reading and writing them, signing and verifying. The
//! private key leaves this file only as PEM for the key's own file, never in a log or an error.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::chain::{hex, sha256, unhex};
use super::error::KeyError;

/// What precedes the 32 bytes of the key in a SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Length of the id of a key, in hexadecimal digits.
const ID_DIGITS: usize = 16;

/// The key that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate() -> Result<Self, KeyError> {
        Self::of(Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?)
    }

    /// Reads the key in a file, as [`SigningKey::from_pem`] does.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(KeyError::Read)?;
        Self::from_pem(&Secret::new(text))
    }

    /// Reads an unencrypted PKCS #8 key in PEM (RFC 7468 section 10, RFC 8410 section 7), such as
    /// `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    /// The text holds no such block, or its key is not one for Ed25519.
    pub fn from_pem(text: &Secret) -> Result<Self, KeyError> {
        let der = from_pem("PRIVATE KEY", text.expose()).ok_or(KeyError::NotPrivate)?;
        let der = Zeroizing::new(der);
        Self::of(Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::NotEd25519)?)
    }

    /// The key as the text of its file: PKCS #8 in PEM.
    ///
    /// # Errors
    /// [`KeyError::Generate`], where the key cannot be encoded.
    pub fn to_pem(&self) -> Result<Secret, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        Ok(Secret::new(to_pem("PRIVATE KEY", der.as_ref())))
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a text, in hexadecimal.
    pub(super) fn sign(&self, text: &[u8]) -> Option<String> {
        let signature = self.pair.try_sign(text).ok()?;
        Some(hex(signature.as_ref()))
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = PublicKey::from_raw(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }
}

/// The key that verifies checkpoints. Auditors hold it; it proves nothing about who wrote a file
/// to those who take it from the same machine as the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    raw: [u8; 32],
    id: String,
}

impl PublicKey {
    /// Reads a key: SubjectPublicKeyInfo in PEM (RFC 7468 section 13), such as `openssl pkey
    /// -pubout` writes, or its 32 bytes as 64 hexadecimal digits. Space around it is ignored.
    ///
    /// # Errors
    /// Neither of the two, or not a key for Ed25519.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some(der) = from_pem("PUBLIC KEY", text) {
            let raw = der.strip_prefix(SPKI_PREFIX.as_slice());
            return Self::from_raw(raw.ok_or(KeyError::NotEd25519)?);
        }
        let text = text.trim();
        match unhex(text) {
            Some(raw) if text.len() == 64 => Self::from_raw(&raw),
            Some(_) | None => Err(KeyError::NotPublic),
        }
    }

    /// The key as SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        let mut der = SPKI_PREFIX.to_vec();
        der.extend_from_slice(&self.raw);
        to_pem("PUBLIC KEY", &der)
    }

    /// The key's 32 bytes as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.raw)
    }

    /// The key's name in the log: the first 16 hexadecimal digits of the SHA-256 of its bytes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the signature, in hexadecimal, is this key's over the text.
    pub(super) fn verifies(&self, text: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.raw);
        unhex(signature).is_some_and(|signature| key.verify(text, &signature).is_ok())
    }

    fn from_raw(raw: &[u8]) -> Result<Self, KeyError> {
        let raw: [u8; 32] = raw.try_into().map_err(|_| KeyError::NotEd25519)?;
        if UnparsedPublicKey::new(&ED25519, raw).parse().is_err() {
            return Err(KeyError::NotEd25519);
        }
        let mut id = sha256(&[&raw]);
        id.truncate(ID_DIGITS);
        Ok(Self { raw, id })
    }
}

/// The bytes of the first PEM block with this label.
fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let (_, rest) = text.split_once(begin.as_str())?;
    let (body, _) = rest.split_once(end.as_str())?;
    let packed = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
    STANDARD.decode(packed.as_bytes()).ok()
}

/// A PEM block, lines of 64 characters (RFC 7468 section 2).
fn to_pem(label: &str, der: &[u8]) -> String {
    let packed = Zeroizing::new(STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in packed.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8410 section 10.3 and its public half of section 10.1.
    const RFC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const RFC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn the_keys_of_the_rfc_are_read_and_written() {
        let key = SigningKey::from_pem(&Secret::new(RFC_PRIVATE)).unwrap();
        let public = PublicKey::parse(RFC_PUBLIC).unwrap();
        assert_eq!(key.public(), &public);
        assert_eq!(public.to_pem(), RFC_PUBLIC);
        assert_eq!(key.to_pem().unwrap().expose(), RFC_PRIVATE);
    }

    #[test]
    fn a_new_key_signs_and_its_public_half_verifies() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let signature = again.sign(b"text").unwrap();
        let public = PublicKey::parse(&key.public().to_hex()).unwrap();
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"texT", &signature));
        assert!(!public.verifies(b"text", ""));
        assert!(!public.verifies(b"text", "not hexadecimal"));
        let other = SigningKey::generate().unwrap();
        assert!(!other.public().verifies(b"text", &signature));
        assert_ne!(other.public().id(), public.id());
        assert_eq!(public.id().len(), ID_DIGITS);
    }

    #[test]
    fn hexadecimal_and_pem_are_the_same_key() {
        let pem = PublicKey::parse(RFC_PUBLIC).unwrap();
        let text = format!("  {}\n", pem.to_hex().to_uppercase());
        assert_eq!(PublicKey::parse(&text).unwrap(), pem);
    }

    #[test]
    fn other_texts_are_refused() {
        let short = "ab".repeat(31);
        for text in ["", "ssh-ed25519 AAAA", RFC_PRIVATE, short.as_str()] {
            assert!(PublicKey::parse(text).is_err(), "{text:?}");
        }
        let rsa = RFC_PUBLIC.replace("MCowBQYDK2Vw", "MCowBQYDK2Vx");
        assert!(matches!(PublicKey::parse(&rsa), Err(KeyError::NotEd25519)));
        for text in [
            "",
            RFC_PUBLIC,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            assert!(
                SigningKey::from_pem(&Secret::new(text)).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = SigningKey::from_pem(&Secret::new(RFC_PRIVATE)).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({})", key.public().id())
        );
    }
}
