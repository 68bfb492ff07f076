//! A figure that was measured several times: median, smallest, largest.

use serde::{Deserialize, Serialize};

/// Median and bounds of several rounds. A single round has all three equal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Middle value; of an even number of values the mean of the middle two.
    pub median: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` where there is none, or one that is no number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Spread { median, min: sorted[0], max: sorted[sorted.len() - 1] })
    }

    /// As [`Spread::of`]; `None` too where one round has no value: a median of the others would look whole.
    pub fn of_all(values: impl IntoIterator<Item = Option<f64>>) -> Option<Spread> {
        let all: Option<Vec<f64>> = values.into_iter().collect();
        Spread::of(all?)
    }

    /// Whether both spreads have no value in common: what lies between them is more than noise.
    pub fn is_apart_from(&self, other: &Spread) -> bool {
        self.max < other.min || other.max < self.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        let odd = Spread::of([3.0, 1.0, 2.0]).expect("three values");
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 4.0]).expect("two values").median, 2.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::INFINITY]), None);
        assert_eq!(Spread::of_all([Some(1.0), None]), None, "a hole is no value");
    }

    #[test]
    fn spreads_that_touch_are_noise() {
        let at = |min, max| Spread { median: min, min, max };
        assert!(at(1.0, 2.0).is_apart_from(&at(3.0, 4.0)));
        assert!(at(3.0, 4.0).is_apart_from(&at(1.0, 2.0)));
        assert!(!at(1.0, 2.0).is_apart_from(&at(2.0, 4.0)));
        assert!(!at(1.0, 9.0).is_apart_from(&at(2.0, 4.0)));
    }
}
