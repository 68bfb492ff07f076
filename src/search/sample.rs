//! A simple random sample of an answer that anybody can draw again.
//!
//! Each conversation is ranked by SHA-256 of the seed, a line feed and its key, and the first of that order are taken.
//! So the sample depends on the seed and on the keys that the query finds, and on nothing else: no order, no segment, no
//! conversation outside the answer. Of two sizes the smaller sample is the beginning of the larger one.

use super::bits::Bits;
use super::found::Found;
use super::keys::{KeyPlace, documents_with, for_each_key};
use crate::index::{IndexError, Reader};
use sha2::{Digest, Sha256};
use std::collections::BinaryHeap;
use std::str::FromStr;

/// How a sample is drawn, for output: whoever has the keys can draw it again.
pub const RULE: &str = "the smallest SHA-256 of the seed, a line feed and the key";

/// How many to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleSize {
    /// So many conversations, or all if there are fewer.
    Conversations(u64),
    /// So many millionths of those found, rounded up.
    PartsPerMillion(u32),
}

/// A wish for a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRequest {
    /// How many.
    pub size: SampleSize,
    /// Any text on one line; equal seeds draw equal samples.
    pub seed: String,
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Conversations in the sample.
    pub size: u64,
    /// Conversations it was drawn from.
    pub population: u64,
    /// The seed.
    pub seed: String,
}

impl FromStr for SampleSize {
    type Err = String;

    /// `200`, or `5%`, `0.25%`.
    fn from_str(text: &str) -> Result<SampleSize, String> {
        let refused =
            || format!("{text:?} is no size of a sample; write a number such as 200, or a share such as 2.5%");
        let Some(percent) = text.strip_suffix('%') else {
            let count = text.parse().map_err(|_| refused())?;
            return if count == 0 {
                Err("a sample has at least one".into())
            } else {
                Ok(SampleSize::Conversations(count))
            };
        };
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 4 || !is_number(whole) || !is_number(fraction) {
            return Err(refused());
        }
        // In millionths, so that no rounding of a float decides whether one more is drawn.
        let parts = format!("{whole}{fraction:0<4}").parse().map_err(|_| refused())?;
        match parts {
            1..=1_000_000 => Ok(SampleSize::PartsPerMillion(parts)),
            _ => Err(format!("a share of {text} cannot be drawn; it is more than 0 % and at most 100 %")),
        }
    }
}

impl SampleSize {
    /// Conversations to draw from so many.
    pub fn of(self, population: u64) -> u64 {
        match self {
            SampleSize::Conversations(count) => count.min(population),
            SampleSize::PartsPerMillion(parts) => {
                let exact = u128::from(population) * u128::from(parts);
                // At most the population, as `parts` is at most a million.
                u64::try_from(exact.div_ceil(1_000_000)).unwrap_or(population)
            }
        }
    }
}

impl Sample {
    /// Half the width of the 95 % confidence interval of a share measured on the sample, in percentage points: the worst
    /// case (a share of 50 %), by the normal approximation with the correction for a finite population. `None`: nothing
    /// was drawn.
    pub fn margin_of_error(&self) -> Option<f64> {
        match (self.size, self.population) {
            (0, _) => None,
            (size, population) if size >= population => Some(0.0),
            (size, population) => {
                let (size, population) = (size as f64, population as f64);
                let finite = (population - size) / (population - 1.0);
                Some(1.959_964 * (0.25 / size * finite).sqrt() * 100.0)
            }
        }
    }

    /// If nothing in the sample has a property: the largest share of all, in percent, that the property can have at 95 %
    /// confidence. Exact for a large population, too cautious for a small one. `None`: nothing was drawn.
    pub fn bound_if_none(&self) -> Option<f64> {
        match (self.size, self.population) {
            (0, _) => None,
            (size, population) if size >= population => Some(0.0),
            (size, _) => Some((1.0 - 0.05_f64.powf(1.0 / size as f64)) * 100.0),
        }
    }
}

/// Narrows what was found to a sample of it. Memory: one bit a document, and 40 bytes for each that is drawn.
pub(super) fn draw(reader: &Reader, found: Found, wanted: &SampleRequest) -> Result<(Found, Sample), IndexError> {
    let population = found.len();
    let size = wanted.size.of(population);
    let sample = Sample { size, population, seed: wanted.seed.clone() };
    if size == population {
        return Ok((found, sample));
    }
    // The largest rank on top, to make room for a smaller one.
    let mut drawn: BinaryHeap<([u8; 32], KeyPlace)> = BinaryHeap::new();
    for_each_key(reader, &found, &mut |key, place| {
        let rank = Sha256::new().chain_update(&wanted.seed).chain_update("\n").chain_update(key).finalize().into();
        if (drawn.len() as u64) < size {
            drawn.push((rank, place));
        } else if let Some(mut last) = drawn.peek_mut()
            && rank < last.0
        {
            *last = (rank, place);
        }
    })?;
    let segments = reader.searcher().segment_readers();
    let mut keys: Vec<Bits> = segments.iter().map(|segment| Bits::none(segment.max_doc())).collect();
    for (_, place) in drawn {
        keys[place.segment].insert(place.ordinal);
    }
    let narrowed = segments.iter().zip(&found.segments).zip(&keys);
    let narrowed = narrowed.map(|((segment, documents), keys)| documents_with(segment, documents, keys));
    Ok((Found { segments: narrowed.collect::<Result<_, _>>()? }, sample))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let of = |text: &str, population| text.parse::<SampleSize>().map(|size| size.of(population));
        assert_eq!(of("200", 1000), Ok(200));
        assert_eq!(of("200", 100), Ok(100));
        assert_eq!(of("5%", 2000), Ok(100));
        assert_eq!(of("0.1%", 3000), Ok(3));
        assert_eq!(of("0.1%", 3001), Ok(4));
        assert_eq!(of("100%", u64::MAX), Ok(u64::MAX));
        assert_eq!(of("5%", 0), Ok(0));
        for refused in ["", "0", "-1", "%", "0%", "101%", "1.00001%", "5 %", "+5%", "5.%x", "1e3", "5%%"] {
            assert!(refused.parse::<SampleSize>().is_err(), "{refused}");
        }
    }

    #[test]
    fn what_a_sample_can_say() {
        let sample = |size, population| Sample { size, population, seed: "1".into() };
        let near = |value: Option<f64>, expected: f64| assert!((value.unwrap() - expected).abs() < 0.01, "{value:?}");
        // The textbook's figures: 385 of very many give 5 points, 1,067 give 3.
        near(sample(385, 1_000_000_000).margin_of_error(), 4.99);
        near(sample(1067, 1_000_000_000).margin_of_error(), 3.0);
        near(sample(300, 600).margin_of_error(), 4.00);
        near(sample(300, 1_000_000).bound_if_none(), 0.99);
        near(sample(10, 10).margin_of_error(), 0.0);
        assert_eq!(sample(0, 0).margin_of_error(), None);
    }
}
