use aws_lc_rs::aead::{Aad, LessSafeKey};
use aws_lc_rs::digest::{Context, SHA256};
use curve25519_dalek::MontgomeryPoint;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::cipher::{Suite, TAG};

/// Gives snow the primitives of aws-lc.
pub(super) struct AwsLc;

impl CryptoResolver for AwsLc {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SystemRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(Curve25519::default()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256(Context::new(&SHA256))) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let suite = match choice {
            CipherChoice::AESGCM => Suite::AesGcm,
            CipherChoice::ChaChaPoly => Suite::ChaChaPoly,
        };
        Some(Box::new(HandshakeCipher { suite, key: None }))
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        getrandom::fill(dest).map_err(|_| snow::Error::Rng)
    }
}

/// Not from aws-lc: its agreement brings all of its key types along, a third of the agent.
#[derive(Default)]
struct Curve25519 {
    private: [u8; 32],
    public: [u8; 32],
}

impl Dh for Curve25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        let Ok(private) = private.try_into() else { return };
        self.private = private;
        self.public = MontgomeryPoint::mul_base_clamped(private).to_bytes();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut private = [0; 32];
        rng.try_fill_bytes(&mut private)?;
        self.set(&private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = public.get(..32).and_then(|public| public.try_into().ok()).ok_or(snow::Error::Dh)?;
        let secret = MontgomeryPoint(public).mul_clamped(self.private).to_bytes();
        // A point of small order: the secret would be known to everybody.
        if secret == [0; 32] {
            return Err(snow::Error::Dh);
        }
        out.get_mut(..secret.len()).ok_or(snow::Error::Dh)?.copy_from_slice(&secret);
        Ok(())
    }
}

struct Sha256(Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Context::new(&SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(self.0.clone().finish().as_ref());
    }
}

/// The cipher of the handshake's two small payloads. Bulk goes through `Sealer` and `Opener`.
struct HandshakeCipher {
    suite: Suite,
    key: Option<LessSafeKey>,
}

impl Cipher for HandshakeCipher {
    fn name(&self) -> &'static str {
        match self.suite {
            Suite::AesGcm => "AESGCM",
            Suite::ChaChaPoly => "ChaChaPoly",
        }
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = self.suite.key(key);
    }

    /// What cannot be encrypted becomes an empty message, which the other end refuses.
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let length = plaintext.len();
        let Some(key) = &self.key else { return 0 };
        let Some((body, tag)) = out.get_mut(..length + TAG).map(|out| out.split_at_mut(length)) else {
            return 0;
        };
        body.copy_from_slice(plaintext);
        match key.seal_in_place_separate_tag(self.suite.nonce(nonce), Aad::from(authtext), body) {
            Ok(made) => {
                tag.copy_from_slice(made.as_ref());
                length + TAG
            }
            Err(_) => {
                body.fill(0);
                0
            }
        }
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let key = self.key.as_ref().ok_or(snow::Error::Decrypt)?;
        let (body, tag) = ciphertext
            .len()
            .checked_sub(TAG)
            .and_then(|length| ciphertext.split_at_checked(length))
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
        key.open_separate_gather(self.suite.nonce(nonce), Aad::from(authtext), body, tag, out)
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(body.len())
    }
}
