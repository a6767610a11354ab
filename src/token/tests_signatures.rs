//! Signatures that are not the issuer's: absent, made with the wrong key or algorithm, or moved
//! from another token; and the RSA algorithms, whose keys pgward verifies but does not make.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::tests::{Bench, NOW, claims, merged};
use super::*;
use crate::clock::Timestamp;
use crate::secret::Secret;

#[test]
fn signatures_of_somebody_else() {
    let bench = Bench::new();
    let disallowed = "token is signed with an algorithm that is not allowed";
    let bad = "token signature is not valid";

    // An unsigned token says so itself.
    let header = merged(bench.header(), json!({ "alg": "none" })).to_string();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    bench.refused("none", &Secret::new(format!("{signed}.")), disallowed);

    // The public key as the secret of an HMAC.
    let header = merged(bench.header(), json!({ "alg": "HS256" })).to_string();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    let public = bench.key.key.try_get_as_bytes().unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(public);
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256)
            .unwrap();
    bench.refused(
        "hmac",
        &Secret::new(format!("{signed}.{signature}")),
        disallowed,
    );

    // Another key under the published key's name.
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let good = bench.good();
    let (signed, signature) = good.expose().rsplit_once('.').unwrap();
    let forged = stranger.sign(signed).unwrap();
    bench.refused("forged", &Secret::new(format!("{signed}.{forged}")), bad);

    // A good signature over something else.
    let (header, _) = signed.split_once('.').unwrap();
    let richer = merged(claims(), json!({ "sub": "zq7-root" })).to_string();
    let moved = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(richer));
    bench.refused("moved", &Secret::new(moved), bad);

    // Signatures of the wrong length.
    for other in ["AA", &format!("{signature}AAAA"), &"A".repeat(86)] {
        bench.refused("length", &Secret::new(format!("{signed}.{other}")), bad);
    }
}

/// An RSA key's token: the key set sees the public numbers, the library makes the signature.
#[test]
fn rsa_tokens() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let bench = Bench::new();
    let cases: [(Algorithm, &'static dyn RsaEncoding); 2] = [
        (Algorithm::Rs256, &RSA_PKCS1_SHA256),
        (Algorithm::Ps256, &RSA_PSS_SHA256),
    ];
    for (algorithm, encoding) in cases {
        let mut issuer = bench.issuer.clone();
        issuer.algorithms = vec![algorithm];
        let jwks = json!({ "keys": [{
            "kty": "RSA", "kid": "r", "alg": algorithm.word(),
            "n": URL_SAFE_NO_PAD.encode(&public.n), "e": URL_SAFE_NO_PAD.encode(&public.e),
        }] });
        let keys = KeySet::from_jwks(jwks.to_string().as_bytes(), issuer.algorithms()).unwrap();
        let key = keys.get("r").unwrap();
        let header = json!({ "alg": algorithm.word(), "kid": "r", "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            encoding,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
        let now = Timestamp::from_seconds(NOW);
        let token = |signature: &[u8]| {
            Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
        };
        assert!(verify(&token(&signature), &issuer, key, now).is_ok());
        signature[7] ^= 1;
        assert_eq!(
            verify(&token(&signature), &issuer, key, now)
                .unwrap_err()
                .message,
            "token signature is not valid"
        );
        assert_eq!(
            verify(&bench.good(), &issuer, key, now)
                .unwrap_err()
                .message,
            "token is signed with an algorithm that is not allowed"
        );
    }
}
