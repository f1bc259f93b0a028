//! Random values from the operating system.
//!
//! No generator of our own and no seed to keep: every value is a system call away, and values are made
//! when credentials and keys are, never per request. Called by issuing code and key making.

use zeroize::Zeroizing;

use super::keyring::KeyBytes;

/// The operating system gave no randomness. Nothing secret can be made; nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes; nothing was made")]
pub struct NoRandomness;

/// The letters a random text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Digits, upper and lower case: 5.95 bits a letter.
    Base62,
    /// Digits and lower case: 5.17 bits a letter. For what people read out or file systems fold.
    LowerBase36,
    /// Lower-case hexadecimal: 4 bits a letter.
    LowerHex,
}

impl Alphabet {
    /// The letters, in ascending order of their value.
    pub fn letters(self) -> &'static [u8] {
        match self {
            Self::Base62 => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            Self::LowerBase36 => b"0123456789abcdefghijklmnopqrstuvwxyz",
            Self::LowerHex => b"0123456789abcdef",
        }
    }
}

/// Fills the buffer.
pub fn fill(buffer: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(buffer).map_err(|_| NoRandomness)
}

/// A new 32-byte key.
pub fn key() -> Result<KeyBytes, NoRandomness> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    fill(bytes.as_mut_slice())?;
    Ok(KeyBytes::new(*bytes))
}

/// A random text of this many letters, each equally likely.
pub fn text(alphabet: Alphabet, letters: usize) -> Result<Zeroizing<String>, NoRandomness> {
    let table = alphabet.letters();
    // Bytes at or above the largest multiple of the alphabet's size are thrown away: a plain remainder
    // would make the first letters likelier than the last.
    let fair = (256 / table.len()).saturating_mul(table.len());
    let mut out = Zeroizing::new(String::with_capacity(letters));
    let mut block = Zeroizing::new([0_u8; 64]);
    while out.len() < letters {
        fill(block.as_mut_slice())?;
        let fair_bytes = block.iter().filter(|b| usize::from(**b) < fair);
        for byte in fair_bytes.take(letters.saturating_sub(out.len())) {
            if let Some(letter) = table.get(usize::from(*byte) % table.len()) {
                out.push(char::from(*letter));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_is_about_equally_likely() {
        // 62 000 letters: 1 000 each are expected, standard deviation 31. With a plain remainder of 256
        // the first eight letters of base 62 would come 1 250 times.
        for alphabet in [Alphabet::Base62, Alphabet::LowerBase36, Alphabet::LowerHex] {
            let size = alphabet.letters().len();
            let drawn = text(alphabet, size * 1000).expect("randomness");
            assert_eq!(drawn.len(), size * 1000);
            for letter in alphabet.letters() {
                let count = drawn.bytes().filter(|b| b == letter).count();
                assert!(
                    (820..1180).contains(&count),
                    "{} came {count} times",
                    char::from(*letter)
                );
            }
        }
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(key().expect("a key").expose(), key().expect("a key").expose());
    }
}
