//! A set of documents of one segment, one bit each, and the few operations that answers and reports need.

/// A set of numbers below a limit that is given when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The empty set of numbers below `limit`.
    pub(super) fn none(limit: u32) -> Bits {
        Bits(vec![0; (limit as usize).div_ceil(64)])
    }

    /// Adds a number; one beyond the limit, which only a damaged index gives, is left out.
    pub(super) fn insert(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Keeps what is in `other` too.
    pub(super) fn keep(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Takes away what is in `other`.
    pub(super) fn take_away(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// Adds what is in `other`.
    pub(super) fn add(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// How many are in both.
    pub(super) fn common(&self, other: &Bits) -> u64 {
        self.0.iter().zip(&other.0).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    /// Sixty-four at a time: number `64 * n + b` is bit `b` of word `n`.
    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// In rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        numbers(&self.0)
    }
}

/// Numbers of the bits that are set, in rising order.
pub(super) fn numbers(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().zip(0_u32..).flat_map(|(word, at)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some(at * u64::BITS + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let of = |step: usize| {
            let mut bits = Bits::none(200);
            (0..200).step_by(step).for_each(|number| bits.insert(number));
            bits
        };
        let (twos, threes) = (of(2), of(3));
        let set = |bits: &Bits| bits.iter().collect::<BTreeSet<u32>>();
        let (two, three) = (set(&twos), set(&threes));
        assert_eq!(two.len(), 100);
        assert_eq!(twos.common(&threes), two.intersection(&three).count() as u64);
        let changed = |change: &dyn Fn(&mut Bits)| {
            let mut bits = twos.clone();
            change(&mut bits);
            assert_eq!(bits.count(), set(&bits).len() as u64);
            set(&bits)
        };
        assert_eq!(changed(&|bits| bits.keep(&threes)), &two & &three);
        assert_eq!(changed(&|bits| bits.add(&threes)), &two | &three);
        assert_eq!(changed(&|bits| bits.take_away(&threes)), &two - &three);
        assert!(!changed(&|bits| bits.remove(198)).contains(&198));
        assert!(twos.contains(198) && !twos.contains(199) && !twos.contains(10_000));
    }
}
