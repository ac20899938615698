use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::NoiseError;

/// Bytes of a frame before its ciphertext: the length of what follows, big-endian.
pub(in crate::swarm) const HEADER: usize = 2;
/// Bytes of a frame behind its ciphertext.
pub(in crate::swarm) const TAG: usize = 16;
/// Most plaintext in a frame; a Noise message has at most 65,535 bytes.
pub(in crate::swarm) const MAX_PLAIN: usize = u16::MAX as usize - TAG;

/// The cipher of a channel, picked by the end that dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// AES-256-GCM, where the CPU has instructions for it.
    AesGcm,
    /// ChaCha20-Poly1305, elsewhere.
    ChaChaPoly,
}

impl Suite {
    /// The faster one on this CPU.
    pub fn best() -> Self {
        if has_aes() { Self::AesGcm } else { Self::ChaChaPoly }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::AesGcm, Self::ChaChaPoly].into_iter().find(|suite| suite.byte() == byte)
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::AesGcm => 1,
            Self::ChaChaPoly => 2,
        }
    }

    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self::AesGcm => "Noise_NNpsk0_25519_AESGCM_SHA256",
            Self::ChaChaPoly => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        }
    }

    pub(super) fn key(self, bytes: &[u8; 32]) -> Option<LessSafeKey> {
        UnboundKey::new(self.algorithm(), bytes).ok().map(LessSafeKey::new)
    }

    /// The nonce of a message by its number, as the Noise specification writes it for each cipher.
    pub(super) fn nonce(self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&match self {
            Self::AesGcm => number.to_be_bytes(),
            Self::ChaChaPoly => number.to_le_bytes(),
        });
        Nonce::assume_unique_for_key(nonce)
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::AesGcm => &AES_256_GCM,
            Self::ChaChaPoly => &CHACHA20_POLY1305,
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// One direction of a channel: a key, and the number of the next frame.
struct Direction {
    suite: Suite,
    key: LessSafeKey,
    number: u64,
}

impl Direction {
    fn new(suite: Suite, key: &[u8; 32]) -> Result<Self, NoiseError> {
        let key = suite.key(key).ok_or(NoiseError::Crypto)?;
        Ok(Self { suite, key, number: 0 })
    }

    fn next_nonce(&mut self) -> Result<Nonce, NoiseError> {
        let number = self.number;
        // The last number is reserved by the Noise specification.
        self.number = number.checked_add(1).ok_or(NoiseError::Crypto)?;
        Ok(self.suite.nonce(number))
    }
}

/// Encrypts frames where they lie.
pub struct Sealer(Direction);

impl Sealer {
    pub(super) fn new(suite: Suite, key: &[u8; 32]) -> Result<Self, NoiseError> {
        Direction::new(suite, key).map(Self)
    }

    /// Makes a frame of the end of `buffer`: from `at` on it holds [`HEADER`] bytes of room and the plaintext, at most
    /// [`MAX_PLAIN`] bytes of it. The tag is appended.
    pub(in crate::swarm) fn seal(&mut self, buffer: &mut Vec<u8>, at: usize) -> Result<(), NoiseError> {
        let frame = buffer.get_mut(at..).ok_or(NoiseError::Crypto)?;
        let (header, plain) = frame.split_at_mut_checked(HEADER).ok_or(NoiseError::Crypto)?;
        let length = u16::try_from(plain.len() + TAG).map_err(|_| NoiseError::Crypto)?;
        header.copy_from_slice(&length.to_be_bytes());
        let nonce = self.0.next_nonce()?;
        let tag = self
            .0
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), plain)
            .map_err(|_| NoiseError::Crypto)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Decrypts frames where they lie.
pub struct Opener(Direction);

impl Opener {
    pub(super) fn new(suite: Suite, key: &[u8; 32]) -> Result<Self, NoiseError> {
        Direction::new(suite, key).map(Self)
    }

    /// Decrypts the ciphertext that starts at `from` (0 or more bytes into `buffer`, which ends with its tag) and puts the
    /// plaintext at the start of `buffer`. Gives the plaintext's length.
    pub(in crate::swarm) fn open(&mut self, buffer: &mut [u8], from: usize) -> Result<usize, NoiseError> {
        let nonce = self.0.next_nonce()?;
        let plain =
            self.0.key.open_within(nonce, Aad::empty(), buffer, from..).map_err(|_| NoiseError::Altered)?;
        Ok(plain.len())
    }
}
