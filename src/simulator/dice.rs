//! Seeded chance: every number of the simulated account comes from here.
//!
//! A [`Dice`] is a ChaCha8 stream keyed by (seed, stream, index), so any conversation can be
//! made alone and in any order. Only integer arithmetic is used: the same seed gives the same
//! bytes on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Steps of a quantile table between 0 and 1.
const QUANTILE_STEPS: u32 = 16;

/// One deterministic stream of random numbers.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream number `stream` of item `index` under `seed`.
    pub(super) fn new(seed: u64, stream: u64, index: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..24].copy_from_slice(&stream.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The next 32 random bits.
    #[inline]
    pub(super) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    #[inline]
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.bits()) * u64::from(bound)) >> 32;
        scaled as u32
    }

    /// A number in `low..high` (half open).
    #[inline]
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low))
    }

    /// True in `permille` of 1000 cases.
    #[inline]
    pub(super) fn permille(&mut self, permille: u32) -> bool {
        self.below(1000) < permille
    }

    /// An index drawn in proportion to `weights`.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut rest = self.below(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            if rest < weight {
                return index;
            }
            rest -= weight;
        }
        0
    }

    /// A draw from a distribution given by its quantiles at 0, 1/16, … 1, linear in between.
    /// The last step bends towards its lower end, which gives a thin tail.
    pub(super) fn quantile(&mut self, table: &[u32; QUANTILE_STEPS as usize + 1]) -> u32 {
        let step = self.below(QUANTILE_STEPS);
        let mut fraction = u64::from(self.bits() >> 16);
        if step == QUANTILE_STEPS - 1 {
            fraction = (fraction * fraction) >> 16;
            fraction = (fraction * fraction) >> 16;
        }
        let low = u64::from(table[step as usize]);
        let high = u64::from(table[step as usize + 1]);
        (low + ((high.saturating_sub(low) * fraction) >> 16)) as u32
    }

    /// One item of a list that is not empty.
    #[inline]
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }
}

/// A well-mixed hash of (seed, stream, index); cheaper than a [`Dice`] when one number is enough.
#[inline]
pub(super) fn mix(seed: u64, stream: u64, index: u64) -> u64 {
    let mut hash = seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F);
    hash = finish(hash.wrapping_add(0x9E37_79B9_7F4A_7C15));
    finish(hash ^ index.wrapping_mul(0xE703_7ED1_A0B4_28DB))
}

/// The finalizer of SplitMix64.
#[inline]
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

/// Ranks with natural frequencies: rank r is drawn in proportion to 1 / (r + 1).
#[derive(Debug)]
pub(super) struct Zipf(Vec<u32>);

impl Zipf {
    /// A distribution over `0..ranks`.
    pub(super) fn new(ranks: usize) -> Self {
        let mut total = 0_u32;
        let cumulative = (0..ranks as u32).map(|rank| {
            total += 100_000_000 / (rank + 1);
            total
        });
        Self(cumulative.collect())
    }

    /// One rank.
    #[inline]
    pub(super) fn draw(&self, dice: &mut Dice) -> usize {
        let total = self.0.last().copied().unwrap_or(0);
        let ticket = dice.below(total);
        self.0.partition_point(|&edge| edge <= ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draw = |stream| {
            let mut dice = Dice::new(7, stream, 3);
            (0..8).map(|_| dice.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn zipf_prefers_low_ranks_and_reaches_the_last() {
        let zipf = Zipf::new(50);
        let mut dice = Dice::new(1, 1, 1);
        let mut hits = [0_u32; 50];
        for _ in 0..20_000 {
            hits[zipf.draw(&mut dice)] += 1;
        }
        assert!(hits[0] > 3 * hits[4] && hits[0] > 15 * hits[40]);
        assert!(hits[49] > 0);
    }
}
