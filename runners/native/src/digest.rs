//! Digests as descriptor.md spells them: `algorithm:encoded`.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256, SHA512};

/// An algorithm this extractor can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

/// A well-formed digest. Its text is safe as a file name: the grammar leaves only `[a-z0-9:]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// A running digest.
pub(crate) struct Hasher {
    algorithm: Algorithm,
    context: Context,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Parses a digest, descriptor.md#digests: the registered algorithms have lower-case hexadecimal
    /// of a fixed length, so a path can never hide in one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown = text.escape_default();
        let Some((name, hex)) = text.split_once(':') else {
            return Err(format!("digest `{shown}` has no algorithm"));
        };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(format!("digest `{shown}` is neither sha256 nor sha512")),
        };
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(is_hex) {
            let want = algorithm.hex_len();
            return Err(format!(
                "digest `{shown}` is not {want} lower-case hexadecimal digits"
            ));
        }
        Ok(Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }

    /// The digest of `content`.
    pub(crate) fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let context = match algorithm {
            Algorithm::Sha256 => Context::new(&SHA256),
            Algorithm::Sha512 => Context::new(&SHA512),
        };
        Self { algorithm, context }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let hex = HEXLOWER.encode(self.context.finish().as_ref());
        Digest {
            algorithm: self.algorithm,
            hex,
        }
    }
}
