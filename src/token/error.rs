//! What can go wrong for the operator: a wrong `[[issuer]]` table, a key set that must not be
//! trusted, a private key that cannot sign. What goes wrong with an agent's token is no error but
//! a [`crate::refusal::Refusal`].

use super::keys::Algorithm;

/// A mistake in what the operator or an issuer's key set says. Safe to log: it holds names and
/// key ids, never key material or tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An `[[issuer]]` table that cannot be used.
    #[error("issuer \"{issuer}\": {fault}")]
    Issuer {
        /// The table's `issuer`.
        issuer: String,
        /// What to change.
        fault: String,
    },
    /// The document is not a JWK Set (RFC 7517 section 5).
    #[error("the key set is not a JSON object with a list \"keys\" and no doubled member")]
    NotAKeySet,
    /// One key makes the whole set untrustworthy.
    #[error("the key set cannot be used: {key} {fault}")]
    Key {
        /// Which key: its `kid`, or its place in the list.
        key: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Every key of the set is for something else.
    #[error("the key set has no key that verifies signatures of an allowed algorithm")]
    NoUsableKey,
    /// The text is not a private key that can sign tokens.
    #[error("not an unencrypted PKCS#8 PEM file with an Ed25519 or P-256 private key")]
    NotASigningKey,
    /// pgward makes EdDSA and ES256 keys only.
    #[error("keys for {} are not generated; choose EdDSA or ES256", .0.word())]
    CannotGenerate(Algorithm),
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto,
}
